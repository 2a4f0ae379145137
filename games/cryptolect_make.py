"""Fresh languages, sentences and prompts for Cryptolect."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping

from games.core import split_of
from games.cryptolect_language import _CHOICES, Language, World, english, layout

# level -> rounds, probes a round, nouns, adjectives, verbs, highest count, sentences to start with, longest row of adjectives
_SIZES = {"basic": (4, 3, 8, 0, 5, 3, 6, 0), "standard": (5, 4, 14, 8, 8, 6, 8, 1), "unguided": (5, 4, 14, 8, 8, 6, 0, 1)}
LEVELS = tuple(_SIZES)
EXAM = 10
_NOUNS = (
    "baker cat cloud door garden girl goat horse island lamp mountain nurse owl painter queen rabbit sailor star teacher tower "
    "wagon whale window valley"
).split()
_ADJECTIVES = (
    "bright brown clean clever gentle green heavy hungry long proud quiet round slow strong tired warm white young".split()
)
_VERBS = "admire call catch draw follow greet help hide know lift paint push remember thank visit".split()


def generate(rng: random.Random, level: str, split: str) -> dict:
    """A language of the split, sentences that show all its words (but on the last level), and an exam."""
    while True:
        language = _language(rng, level)
        if split_of(_name(language)) == split:
            break
    informant = Language(language)
    seed = _seed(rng, informant, level)
    exam = _exam(rng, informant, level, seed)
    return {
        "language": language,
        "seed_corpus": seed,
        "exam": exam,
        "exam_english": [english(meaning) for meaning in exam],
        "exam_targets": [informant.say(meaning) for meaning in exam],
    }


def target(instance: Mapping) -> str:
    return _name(instance["language"])


def _name(language: Mapping) -> str:
    """A language's words and grammar in one line."""
    stems = " ".join(f"{word}={stem}" for word, stem in sorted(language["lexicon"].items()))
    grammar = [language[field] for field in (*_CHOICES, "def_form")]
    return f"{stems} {' '.join(language['numerals'].values())} {' '.join(grammar)} {language['number_pl']['form']}"


def _language(rng: random.Random, level: str) -> dict:
    _, _, nouns, adjectives, verbs, highest, _, _ = _SIZES[level]
    consonants, used = rng.sample("ptkbdgmnsrlvfh", 7), set()

    def syllable() -> str:
        return rng.choice(consonants) + rng.choice("aeiou")

    def word(*lengths: int) -> str:
        while True:
            new = "".join(syllable() for _ in range(rng.choice(lengths)))
            if new not in used:
                used.add(new)
                return new

    active = {
        "nouns": rng.sample(_NOUNS, nouns),
        "adjs": rng.sample(_ADJECTIVES, adjectives),
        "verbs": rng.sample(_VERBS, verbs),
    }
    lexicon = {gloss: word(2, 2, 3) for glosses in active.values() for gloss in glosses}
    numerals = {str(count): word(1, 2) for count in range(2, highest + 1)}
    choices = {field: rng.choice(options) for field, options in _CHOICES.items()}
    return {
        "lexicon": lexicon,
        "numerals": numerals,
        **{f"active_{kind}": glosses for kind, glosses in active.items()},
        "active_counts": list(range(1, highest + 1)),
        **choices,
        "def_form": syllable() if choices["def_type"] == "suffix" else word(1),
        "number_pl": {"type": "fixed", "form": syllable()},
        "has_definiteness": level != "basic",
    }


def _phrase(rng: random.Random, world: Language, level: str) -> dict:
    adjectives = rng.sample(world.adjectives, rng.randint(0, _SIZES[level][-1]))
    definite = world.grammar["def_type"] is not None and rng.random() < 0.5
    count = rng.choice([1, *world.numbers.values()])
    return {"noun": rng.choice(world.nouns), "count": count, "def": definite, "adjs": adjectives}


def meanings(rng: random.Random, world: Language, level: str) -> Iterator[dict]:
    """Random meanings without end."""
    while True:
        subject, verb, obj = _phrase(rng, world, level), rng.choice(world.verbs), _phrase(rng, world, level)
        yield {"subj": subject, "verb": verb, "obj": obj}


def _shown(meaning: Mapping) -> set:
    """The words that a sentence shows, as slots without endings."""
    return {slot[:2] for slot in layout(meaning, "SVO", "pre", "pre", None)}


def _seed(rng: random.Random, world: Language, level: str) -> list[dict]:
    """Sentences until every word is shown and there are enough of them."""
    least = _SIZES[level][6]
    found: list[dict] = []
    shown: set = set()
    total = len(world.nouns) + len(world.adjectives) + len(world.verbs) + len(world.numbers)
    for meaning in meanings(rng, world, level) if least else ():
        if len(shown) == total and len(found) >= least:
            break
        if _shown(meaning) - shown or len(shown) == total:
            found.append(meaning)
            shown |= _shown(meaning)
    return found


def _cells(meaning: Mapping) -> set:
    """(noun, is it plural, role) of both phrases."""
    return {(meaning[role]["noun"], meaning[role]["count"] > 1, role) for role in ("subj", "obj")}


def _exam(rng: random.Random, world: Language, level: str, seed: list[dict]) -> list[dict]:
    """Different sentences that are not in the seed; each shows some noun in a number and role in which the seed does not."""
    known, cells, found = {english(meaning) for meaning in seed}, set().union(*map(_cells, seed)), []
    for meaning in meanings(rng, world, level):
        if english(meaning) not in known and _cells(meaning) - cells:
            known.add(english(meaning))
            found.append(meaning)
        if len(found) == EXAM:
            return found
    raise AssertionError("there is no end of random sentences")


def vocabulary(world: World) -> str:
    """The words in play, for the prompt."""
    return "\n".join(
        (
            f"Nouns: {', '.join(world.nouns)}",
            f"Adjectives: {', '.join(world.adjectives) or '(none)'}",
            f"Verbs (in this form only): {', '.join(world.verbs)}",
            "Articles: the, a",
            f"Number words: {', '.join(world.numbers)} (for one thing there is none)",
            "The language has no words but these.",
        )
    )


def schema(world: World) -> str:
    """How English sentences are written, for the prompt."""
    noun, other, verb = world.nouns[0], world.nouns[min(1, len(world.nouns) - 1)], world.verbs[0]
    numbers = list(world.numbers)
    examples = [f"a {noun} {verb} a {other}"]
    examples += [f"{numbers[-1]} {noun}s {verb} a {other}"] if numbers else []
    examples += [f"a {world.adjectives[0]} {noun} {verb} a {other}"] if world.adjectives else []
    rules = [
        "A sentence is a subject, one verb and an object, always in this order.",
        "Subject and object are built alike: the or a (or neither), a number word (or none), "
        + ("adjectives (or none), " if world.adjectives else "")
        + "and the noun.",
        f"- With a number word ({', '.join(numbers)}) more than one is meant, without it one, and the noun has no -s.",
        "- 'the' makes a phrase definite, 'a' indefinite; an indefinite phrase with a number word has no article.",
        "For example:",
    ]
    return "\n".join([*rules, *(f"    {example}" for example in examples)])


def settings(level: str, form: str) -> dict:
    """Our own settings in the official schema."""
    rounds, a_round, *_, seed, _ = _SIZES[level]
    prompt = PROMPTS[form].replace("<SEED>", SEEDS[form] if seed else "")
    return {
        "name": level,
        "tier": level,
        "has_seed": bool(seed),
        "num_rounds": rounds,
        "probes_per_round": a_round,
        "probe_budget": rounds * a_round,
        "exam_size": EXAM,
        "initial_prompt": prompt,
    }


SEEDS = {
    "full": "These sentences are translated already, English first:\n$SEED_BLOCK$\n\n",
    "short": "$SEED_BLOCK$\n",
}
PROMPTS = {
    "full": (
        "Find out how an unknown language works. One person speaks it and translates English sentences for you, without "
        "a fault, but only sentences with these words:\n\n$VOCAB$\n\n$SCHEMA$\n\n<SEED>"
        "There are $NUM_ROUNDS$ rounds, and in each you send one to $PROBES_PER_ROUND$ sentences (probes; $PROBE_BUDGET$ in "
        "all) and get their translations. Choose them so that you learn where subject, verb, object, adjectives and number "
        "words stand, how one and many and 'the' and 'a' are told apart, and what each word is.\n"
        "Then comes an exam: $EXAM_SIZE$ new sentences with the same words, which you translate into the language. Only what "
        "is right to the letter counts.\n\n"
        "Write probes like this, each on a line of its own, and nothing after them (what follows would count as a probe "
        "too; you may think before them after THOUGHTS:):\n\nPROBES:\n1. <an English sentence>\n2. <another one>\n\n"
        "Your first probes:"
    ),
    "short": (
        "$VOCAB$\nLearn the language. $NUM_ROUNDS$ rounds of up to $PROBES_PER_ROUND$ probes, then $EXAM_SIZE$ sentences to "
        "translate.\n<SEED>Reply\nPROBES:\n1. <English sentence>"
    ),
}
