"""Scripted players of Get to the point: clues from the lexicon's associations, guesses by Taboo's ranking of nouns."""

from __future__ import annotations

from collections.abc import Sequence

from games.core import View
from games.lexicon import lexicon
from games.taboo_players import ranking
from games.templates import invert

LEGAL = 0.3  # share of replies of the broken players that keep the rules


def _words(view: View) -> tuple[str, str, str, int]:
    """The helper's tag, start word and target, and how many words it may add."""
    shown = invert(view.settings["initial_prompt_helper"], view.seen[0]) or {}
    form = view.settings["game_regex"]
    added = form["range_of_word_additions"]
    return form["HELPER_PROMPT_WORD"], shown.get("START_WORD", ""), shown.get("TARGET_WORD", "").lower(), added


def _hints(target: str) -> Sequence[str]:
    """What can be said about a word, best first."""
    entry = lexicon().get(target)
    if entry is None:
        return f"{len(target)} letters {target[:1]}... ...{target[-1:]} unknown secret".split()
    return [entry.category, *entry.associations, *sorted(entry.features)]


def give_clue(view: View) -> str:
    """The best words that were not said yet; a weak player says fewer and vaguer ones, at times the target."""
    tag, start, target, added = _words(view)
    rng, slack = view.rng, 1 - view.strength
    if rng.random() < 0.3 * slack:
        return f"{tag} {start} {target}"
    said = {word for clue in view.said for word in clue.lower().split()}
    legal = [word for word in _hints(target) if target not in word and word != start]
    fresh = [word for word in legal if word not in said] or legal
    chosen = [rng.choice(legal[-4:]) if rng.random() < 0.7 * slack else word for word in fresh[:added]]
    return " ".join([tag, start, *dict.fromkeys(chosen)])


def guess(view: View) -> str:
    """The noun that fits best what varies in the clues, none twice; a weak player often takes one further down."""
    prompt = invert(view.settings["initial_prompt_seeker"], view.seen[0]) or {"rest": view.seen[0]}
    clues = [clue.split()[1:] for clue in (prompt["rest"], *view.seen[1:])]
    fixed = set(clues[0]).intersection(*clues[1:]) if len(clues) > 1 else set()
    chosen = [" ".join(word for word in clue if word not in fixed) for clue in clues]
    refused = [reply.split()[-1] for reply in view.said if reply.split()]
    nouns = ranking(chosen, [*refused, *fixed])
    if view.rng.random() >= view.strength:
        nouns = [view.rng.choice(nouns[: 2 + round(40 * (1 - view.strength))])]
    return f"{view.settings['game_regex']['SEEKER_PROMPT_WORD']} {nouns[0]}"


def give_any_clue(view: View) -> str:
    """The start word and three words for anything."""
    tag, start, target, added = _words(view)
    words = [word for word in view.rng.choice(list(lexicon().values())).associations if target not in word]
    return " ".join([tag, start, *words[:added]])


def guess_anything(view: View) -> str:
    return f"{view.settings['game_regex']['SEEKER_PROMPT_WORD']} {view.rng.choice(list(lexicon()))}"


def break_clue(view: View) -> str:
    """A clue without the start word or with a mark on it, with too many words, the target or something before the tag."""
    clue = give_any_clue(view)
    if view.rng.random() < LEGAL:
        return clue
    tag, start, target, _ = _words(view)
    rest = clue.removeprefix(f"{tag} {start}").strip()
    return view.rng.choice(
        (
            f"{tag} {rest}",
            f"{tag} {start}, {rest}",
            f"{tag} {rest} {start}.",
            f"{tag} {start} like a {target}",
            f"{tag} {start} is something that has to do with {rest}",
            f"**{tag}** {start} {rest}",
            f"Here is my clue.\n{tag} {start} {rest}",
            f"{start} {rest}",
        )
    )


def break_guess(view: View) -> str:
    """A guess of several words, without the tag, with a remark or a clue in its place; at times a legal one."""
    word = view.rng.choice(list(lexicon()))
    tag = view.settings["game_regex"]["SEEKER_PROMPT_WORD"]
    if view.rng.random() < LEGAL:
        return f"{tag} {word}"
    return view.rng.choice((f"{tag} the {word}", f"{tag}{word}", word, f"**{tag}** {word}", f"Is it {word}?", f"CLUE: {word}"))
