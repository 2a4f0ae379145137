"""Allowed moves in those of TextArena's games whose rules are simple, read from what a seat was shown; None: none found."""

from __future__ import annotations

import re
from collections.abc import Callable

from games.core import View
from playpen_jax.bridges.textarena_boards import BOARDS, last, lines, pick


def nim(view: View) -> str | None:
    piles = [tuple(map(int, row)) for row in lines(view, r"pile (\d+): (\d+)")][-3:]
    return pick(view, [f"[{pile} {view.rng.randint(1, n)}]" for pile, n in piles if n])


def briscola(view: View) -> str | None:
    return pick(view, [f"[play {n}]" for n in lines(view, r"^  (\d)\. ")])


def blotto(view: View) -> str | None:
    fields, units = last(view, r"fields: ([A-Z, ]+)$"), last(view, r"allocate: (\d+)")
    if not fields or not units:
        return None
    names, rest = fields[1].split(", "), int(units[1])
    shares = [view.rng.randint(0, rest // len(names)) for _ in names[1:]]
    return f"[{' '.join(f'{name}{n}' for name, n in zip(names, [rest - sum(shares), *shares]))}]"


def bandit(view: View) -> str | None:
    names = re.search(r"buttons: ([a-z, ]+)\.", view.seen[0])
    return f"[{view.rng.choice(names[1].split(', '))}]" if names else None


def chopsticks(view: View) -> str | None:
    hands = {int(seat): (int(a), int(b)) for seat, a, b in lines(view, r"Player (\d): \[(\d+), (\d+)\]")}
    mine = int(view.seat[-1])
    if len(hands) < 2:
        return None
    own, others = hands[mine], hands[1 - mine]
    return pick(view, [f"[attack {m} {o}]" for m in (0, 1) for o in (0, 1) if own[m] and others[o]])


def mastermind(view: View) -> str | None:
    size = re.search(r"(\d+) digits long, each digit from 1 to (\d+)", view.seen[0])
    guess = view.rng.sample(range(1, int(size[2]) + 1), int(size[1])) if size else []
    return f"[{' '.join(map(str, guess))}]" if size else None


def lights(view: View) -> str | None:
    return f"[{view.rng.randrange(5)} {view.rng.randrange(5)}]"


def hanoi(view: View) -> str | None:
    pegs = {peg: re.findall(r"\d+", disks) for peg, disks in lines(view, r"([ABC]): \[(.*?)\]")}
    top = {peg: int(disks[-1]) if disks else 99 for peg, disks in pegs.items()}
    return pick(view, [f"[{a} {b}]" for a in top for b in top if top[a] < top[b]])


def memory(view: View) -> str | None:
    rows = lines(view, r"^(\d) ([. A-Z0-9]+)$")
    cells = [f"{row} {i}" for row, line in rows[-4:] for i, cell in enumerate(line.split()) if cell == "."]
    return f"[{' '.join(view.rng.sample(cells, 2))}]" if len(cells) >= 2 else None


def ultimatum(view: View) -> str | None:
    return "[Accept]" if re.search(r"Offer: \$", view.seen[-1].rpartition("begins!")[2]) else "[Offer: $3]"


def recruit(view: View) -> str | None:
    return (
        view.rng.choice(("[Accept]", "[Reject]", f"[Propose] {'ABCDE'[view.rng.randrange(5)] * 8}"))
        if len(view.seen) > 1
        else ("[Accept]" if "[Propose]" in view.seen[-1].rpartition("negotiating effectively")[2] else "[Propose] ABCDEABC")
    )


def two_dollar(view: View) -> str | None:
    return (
        "This is fair. [Accept]" if "[Propose]" in view.seen[-1].rpartition("===")[2] else "Half of it is fair. [Propose] $1.00"
    )


def poker(view: View) -> str | None:
    state = last(view, r"Current bet: (\d+)(?:.|\n)*")
    own = re.search(rf"P{view.seat[-1]} .*\| bet (\d+)", state[0]) if state else None
    return ("[Call]" if int(state[1]) > int(own[1]) else "[Check]") if state and own else None


def liars_dice(view: View) -> str | None:
    return "[Call]" if "[Bid:" in view.seen[-1].rpartition("New round")[2] else f"[Bid: 1, {view.rng.randint(1, 6)}]"


def truth(view: View) -> str | None:
    return f"[Fact {view.rng.randint(1, 2)}]" if len(view.said) >= 3 else "Believe me in this."


def spite(view: View) -> str | None:
    """Cards are played as long as some can be; a pile is never built by discarding alone."""
    listed = re.findall(r"\[[^\[\]]+\]", view.seen[-1].rpartition("Available Moves:")[2])
    plays = [action for action in listed if action.startswith("[play")]
    rest = [action for action in listed if action != "[draw]"]
    return pick(view, plays or (rest if "[draw]" in view.said[-1:] else []) or ["[draw]"])


def golf(view: View) -> str | None:
    swap = f"[swap {view.rng.randint(1, 2)} {view.rng.randint(1, 3)}]"
    return view.rng.choice(("[draw]", "[take]")) if "[draw]" in view.seen[-1].rpartition("options:")[2] else swap


def countdown(view: View) -> str | None:
    """Sums of the first two numbers."""
    return "[0 1 +]" if len(lines(view, r"^  \[(\d)\] ")) >= 2 else None


def cryptarithm(view: View) -> str | None:
    """Each letter a digit of its own, one after the other."""
    letters = sorted(set(re.sub(r"[^A-Z]", "", (last(view, r"^[A-Z]+ \+ [A-Z]+ = [A-Z]+$") or [""])[0])))
    given = {action[1] for action in view.said if re.fullmatch(r"\[[A-Z] \d\]", action)}
    rest = [letter for letter in letters if letter not in given]
    return f"[{rest[0]} {len(given)}]" if rest else None


def whist(view: View) -> str | None:
    """A card of the suit that was led, or any card."""
    hand = re.findall(r"^    (\d+)\. \d*\w*([♠♥♦♣])", view.seen[-1], re.MULTILINE)
    led = re.search(r"Current trick:\n  Player \d: \w+([♠♥♦♣])", view.seen[-1])
    follow = [n for n, suit in hand if led and suit == led[1]]
    return pick(view, [f"[play {n}]" for n in follow or [n for n, _ in hand]])


def auction(view: View) -> str | None:
    """Words first, then a bid below what an item is worth."""
    worth = re.findall(r"Item (\d+): .*you: (\d+) coins", view.seen[0])
    if not worth or not any("bidding phase." in text for text in view.seen):
        return "Let us see who bids most."
    item, value = view.rng.choice(worth)
    return f"[Bid on Item {item}: {int(value) // 2}]"


def monte(view: View) -> str | None:
    """The cup that the ball is under."""
    start = re.search(r"Ball starts: (.*)", view.seen[0])
    cups = start[1].split() if start else []
    for a, b in re.findall(r"swapped cups (\d) and (\d)", view.seen[0]):
        cups[int(a)], cups[int(b)] = cups[int(b)], cups[int(a)]
    return f"[{cups.index('[X]')}]" if cups else None


def mafia(view: View) -> str | None:
    """One of those who can be chosen by whoever is asked to."""
    offered = last(view, r"(?:targets|protect|investigate|Valid): ((?:\[\d+\](?:, )?)+)")
    return pick(view, re.findall(r"\[\d+\]", offered[1])) if offered else None


def catan(view: View) -> str | None:
    """The biggest thing that can be built, or the end of the turn; no trade."""
    listed = re.findall(r"'\[(\d+)\]'\t-  (\w+ ?\w*)", view.seen[-1])
    for wanted in ("Upgrade CITY", "Build SETTLEMENT", "Build ROAD", "Nothing"):
        if numbers := [n for n, what in listed if what == wanted]:
            return f"[{view.rng.choice(numbers)}]"
    return None


def logic(view: View) -> str | None:
    """A mark where it has not stood yet."""
    marks, columns = [], []
    for line in view.seen[0].split("Available Clues")[0].splitlines():
        name, *cells = re.findall(r"[a-z]+", line) or [""]
        if line.endswith("|") and line.startswith(" "):
            columns = [name, *cells]
        elif line.endswith("|"):
            marks += [f"[{name} {column} {mark}]" for column in columns for mark in "XO"]
    return pick(view, [mark for mark in marks if mark not in view.said])


RULES: dict[str, Callable[[View], str | None]] = BOARDS | {
    "Bandit": bandit,
    "Briscola": briscola,
    "Chopsticks": chopsticks,
    "ColonelBlotto": blotto,
    "IteratedUltimatumGame": ultimatum,
    "LiarsDice": liars_dice,
    "LightsOut": lights,
    "Mastermind": mastermind,
    "MemoryGame": memory,
    "NewRecruit": recruit,
    "Nim": nim,
    "Poker": poker,
    "TowerOfHanoi": hanoi,
    "TruthAndDeception": truth,
    "SpiteAndMalice": spite,
    "Golf": golf,
    "Cryptarithm": cryptarithm,
    "Countdown": countdown,
    "TwoDollar": two_dollar,
    "GermanWhist": whist,
    "SimpleBlindAuction": auction,
    "ThreeCardMonte": monte,
    "SecretMafia": mafia,
    "SettlersOfCatan": catan,
    "LogicPuzzle": logic,
}
