"""What Codenames is played with: clue table, noun forms, boards and prompts."""

from __future__ import annotations

import functools
import random
from collections.abc import Iterable, Sequence
from importlib import resources

OWNERS = ("team", "opponent", "innocent", "assassin")

# a spelling rule each: plural ending -> ending of the base form
_ENDINGS = (
    ("s", ""),
    ("ses", "s"),
    ("ves", "f"),
    ("xes", "x"),
    ("zes", "z"),
    ("ches", "ch"),
    ("shes", "sh"),
    ("men", "man"),
    ("ies", "y"),
)


def _lines(name: str) -> list[str]:
    text = resources.files("games").joinpath("resources", name).read_text("utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


@functools.cache
def rows() -> tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]:
    """The clue table: (clue words, the words that they hint at, closest first)."""
    halves = (line.split(":") for line in _lines("codenames_clues.txt"))
    return tuple((tuple(clues.split()), tuple(words.split())) for clues, words in halves)


@functools.cache
def vocabulary() -> tuple[str, ...]:
    """The words of our own boards: those that several rows of the clue table hint at."""
    seen: dict[str, int] = {}
    for _, words in rows():
        for word in words:
            seen[word] = seen.get(word, 0) + 1
    return tuple(sorted(word for word, count in seen.items() if count > 1))


@functools.cache
def _irregular() -> dict[str, frozenset[str]]:
    return {words[0]: frozenset(words) for words in map(str.split, _lines("codenames_forms.txt"))}


def forms(word: str) -> frozenset[str]:
    """The word and its possible base forms as a noun: "wolves" -> wolves, wolve, wolf."""
    if word in _irregular():
        return _irregular()[word]
    return frozenset({word} | {word[: -len(end)] + base for end, base in _ENDINGS if word.endswith(end)} - {""})


known_forms = functools.lru_cache(maxsize=4096)(forms)  # for words of boards and tables; a reply may be any size


def related(word: str, others: Iterable[str]) -> str | None:
    """The first of `others` that may be a form of the same noun as `word`, or None."""
    mine = forms(word)
    return next((other for other in others if not mine.isdisjoint(known_forms(other))), None)


def board_words(rng: random.Random, generator: str, counts: Sequence[int]) -> list[list[str]]:
    """Words for each owner: "random", or by rows of the clue table that one owner holds ("easy") or several share."""
    total = sum(counts)
    if generator == "random":
        drawn = rng.sample(vocabulary(), total)
    elif generator == "easy word assignments":
        used: set[str] = set()
        drawn = [word for count in counts for word in _by_rows(rng, count, used)]
    else:
        grouped = _by_rows(rng, total, set())
        drawn = grouped[0::3] + grouped[1::3] + grouped[2::3]  # neighbours, of one row, go to different owners
    starts = [sum(counts[:i]) for i in range(len(counts))]
    hands = [drawn[start : start + count] for start, count in zip(starts, counts)]
    for hand in hands:
        rng.shuffle(hand)
    return hands


def _by_rows(rng: random.Random, count: int, used: set[str]) -> list[str]:
    """`count` unused words in groups of 2 to 4 from rows of the clue table; they are added to `used`."""
    drawn: list[str] = []
    known = set(vocabulary())
    while len(drawn) < count:
        missing = count - len(drawn)
        sizes = [size for size in (2, 3, 4) if size <= missing and missing - size != 1] or [missing]
        free = [word for word in rng.choice(rows())[1] if word in known and word not in used]
        group = rng.sample(free, min(rng.choice(sizes), len(free)))
        drawn += group
        used.update(group)
    return drawn


REMARK = "That answer breaks a rule: $PROBLEM$. Please answer again."

_LISTS = """Words of your team: $TEAM$
Words of the opponent: $OPPONENT$
Innocent words: $INNOCENT$
Assassin words: $ASSASSIN$"""

_SHORT_LISTS = """Own: $TEAM$
Opponent: $OPPONENT$
Innocent: $INNOCENT$
Assassin: $ASSASSIN$
CLUE: word
TARGETS: own words"""

_SHORT_GUESSER = """Clue: $CLUE$
Words: $BOARD$
GUESS: up to $NUMBER$ words"""

# who is asked, and when -> template
PROMPTS = {
    "full": {
        "cluegiver_first": f"""You and a partner play a word game as one team. You alone know which side owns each word.
Every turn you give a clue: one single word that is related in meaning to some of your team's words. Your partner sees the \
clue and the board without its owners, and may guess as many words as you had in mind.
Your team wins once all of its words are uncovered. A guess that hits a word of the opponent or an innocent word ends the \
turn. A guess that hits an assassin word loses the game. After each turn the opponent uncovers words of its own, and wins \
when none is left. So hint at several words at a time, but stay clear of the words of the others.
The clue must not be a word of the board, nor another form of one.

Answer with two lines and nothing else: the clue, and the words of your team that it is for. For example:
CLUE: sweet
TARGETS: honey, cake

{_LISTS}""",
        "cluegiver_later": f"""$FEEDBACK$ The turn ended there.
Some words have left the lists since. Give the next clue, again with the two lines "CLUE: ..." and "TARGETS: ...".

{_LISTS}""",
        "guesser_first": """You and a partner play a word game as one team. Your partner has given a clue word for some of \
the words below. Guess them: name at most $NUMBER$ of these words, the surest first, separated by commas. Other words on the \
board belong to the opponent, or end your turn, or lose the game.
Answer with one line and nothing else. For example:
GUESS: honey, cake

The clue is '$CLUE$'. The words:
$BOARD$""",
        "guesser_later": """$FEEDBACK$ Your turn ended there.
Some words have left the board since. Name at most $NUMBER$ of the words below on one line that starts with "GUESS: ".

The clue is '$CLUE$'. The words:
$BOARD$""",
    },
    "short": {
        "cluegiver_first": "Hint at own words with one new word.\n" + _SHORT_LISTS,
        "cluegiver_later": "$FEEDBACK$\n" + _SHORT_LISTS,
        "guesser_first": _SHORT_GUESSER,
        "guesser_later": "$FEEDBACK$\n" + _SHORT_GUESSER,
    },
}
