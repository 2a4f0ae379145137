"""Deal or no deal: two seats talk about a pile of items, then each sends a secret claim on a part of it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

from games.core import Ask, Game, InstanceError, Outcome, Referee
from games.dond_make import LEVELS, generate, settings, target
from games.dond_players import PLAYERS
from games.stemmer import stem

SEATS = ("player_a", "player_b")
KEYWORDS = {"en": "proposal:", "de": "vorschlag:", "it": "proposta:"}
MODES = ("coop", "semi", "comp")
SILENCE = "(the other player said nothing)"


def referee(instance: Mapping, settings: Mapping) -> Referee:  # type: ignore[return]  # the loop has no end of its own
    """Seats write in turns; the first bracket of a reply is a claim; two claims end the game, any broken rule aborts it."""
    _check(instance, settings)
    counts, rounds = instance["item_counts"], settings["max_turns"]
    prompts = {seat: _prompt(instance, settings, seat) for seat in SEATS}
    pending = {"player_a": prompts["player_a"], "player_b": ""}
    claims: dict[str, list[int]] = {}
    for turn in itertools.count():
        now, seat, other = turn // 2, SEATS[turn % 2], SEATS[1 - turn % 2]
        text = prompts[seat] + "\n\n" + pending[seat] if turn == 1 else pending[seat]
        reply = yield Ask(seat, text)
        claim, problem = parse(reply, instance, settings["language"])
        if problem:
            return _aborted(turn + 1, 1, problem, seat)
        if claim is None and (now == rounds or claims):
            return _aborted(turn + 1, 0, "a proposal was due", seat)
        if claim is None and seat == "player_b" and now == rounds - 1:
            pending[other] = reply + "\n\n\n" + settings["proposal_timeout"]
        elif claim is None and reply.strip():
            pending[other] = reply
        elif claim is None and seat == "player_a":
            pending[other] = SILENCE
        elif claim is not None:  # (the silence of player_b is not announced: player_a reads the last message again)
            if any(wanted > there for wanted, there in zip(claim, counts)):
                return _aborted(turn + 1, 0, "more items claimed than there are", seat)
            claims[seat] = claim
            pending[other] = settings["proposal_early"]
        if len(claims) == 2:
            return _finished(instance, settings["mode"], claims, turn + 1)


def parse(reply: str, instance: Mapping, language: str) -> tuple[list[int] | None, str]:
    """(claimed counts or None for free text, what breaks the format)."""
    inner = _bracket(reply)
    if inner is None:
        return None, ""
    inner, keyword = inner.strip().lower(), KEYWORDS[language]
    if not inner.startswith(keyword):
        return None, "the brackets hold no proposal"
    inner = inner.removeprefix(keyword).strip().removesuffix(",").strip()
    claim: dict[int, int] = {}
    for part in inner.split(",") if inner else ():
        words = part.split()
        # the official check also lets through numerals such as "½", on which the official engine breaks
        if len(words) != 2 or not words[0].isdecimal() or len(words[0]) > 1000:
            return None, "the proposal is no list of numbers and names"
        kind = _kind(int(words[0]), words[1], instance, language)
        if kind is None:
            return None, "the proposal names an unknown item"
        if kind in claim:
            return None, "the proposal names an item twice"
        claim[kind] = int(words[0])
    return [claim.get(kind, 0) for kind in range(len(instance["item_types"]))], ""


def _bracket(reply: str) -> str | None:
    """What stands in the first [...] that opens and closes on one line."""
    for line in reply.split("\n"):
        start = line.find("[")
        end = line.find("]", start + 1)
        if 0 <= start < end:
            return line[start + 1 : end]
    return None


def _kind(count: int, name: str, instance: Mapping, language: str) -> int | None:
    """The index of the item called `name`: exact names before stems, the number that fits before the other one."""
    forms = [instance["item_types"], instance["item_types_plural"]]
    forms = forms if count == 1 else forms[::-1]
    for words in forms:
        if name in words:
            return words.index(name)
    same = stem if language == "en" else str  # other languages: exact names only
    for words in forms:
        hits = [i for i, word in enumerate(words) if same(word) == same(name)]
        if hits:
            return hits[0] if len(hits) == 1 else None
    return None


def points(claim: Sequence[int], values: Sequence[int]) -> int:
    """What a claim is worth."""
    return sum(count * value for count, value in zip(claim, values))


def _finished(instance: Mapping, mode: str, claims: Mapping[str, list[int]], requests: int) -> Outcome:
    """The outcome of two claims: success if the pile covers both."""
    counts, a, b = instance["item_counts"], claims["player_a"], claims["player_b"]
    covered = all(x + y <= count for x, y, count in zip(a, b, counts))
    total = points(a, instance["player_a_values"]) + points(b, instance["player_b_values"]) if covered else 0
    best = most_together(instance)
    missed, norm = _missed(instance, mode, a, b, total, covered), best
    if mode != "coop":
        norm = _most_alone(instance)
    metrics = {"Sum of Points": total / best, "Pareto Optimal": int(missed == 0)}
    reason = "the pile covers both claims" if covered else "the claims overlap"
    score = 100 * (1 - missed / norm)
    return Outcome("success" if covered else "lose", score, requests, requests, 0, metrics, reason)


def _missed(instance: Mapping, mode: str, a: list[int], b: list[int], total: int, covered: bool) -> int:
    """The points that a better division would have added, as the mode counts them."""
    if mode == "comp":  # whatever one gains the other loses: no division is better than another
        return 0
    if mode == "coop":
        return most_together(instance) - total
    if not covered:
        return _most_alone(instance)
    counts, va, vb = instance["item_counts"], instance["player_a_values"], instance["player_b_values"]
    now_a, now_b, best = points(a, va), points(b, vb), 0
    for share in itertools.product(*(range(count + 1) for count in counts)):
        gain_a = points(share, va) - now_a
        gain_b = points([count - x for count, x in zip(counts, share)], vb) - now_b
        if gain_a >= 0 and gain_b >= 0:
            best = max(best, gain_a, gain_b)
    return best


def most_together(instance: Mapping) -> int:
    """The highest sum of both seats' points."""
    rows = zip(instance["item_counts"], instance["player_a_values"], instance["player_b_values"])
    return sum(count * max(a, b) for count, a, b in rows)


def _most_alone(instance: Mapping) -> int:
    return max(points(instance["item_counts"], instance[f"{seat}_values"]) for seat in SEATS)


def _aborted(requests: int, violated: int, reason: str, seat: str) -> Outcome:
    return Outcome("aborted", math.nan, requests, requests - violated, violated, reason=reason, seat=seat)


def _prompt(instance: Mapping, settings: Mapping, seat: str) -> str:
    """The first message of a seat: the template with the pile and the seat's own values."""
    names = zip(instance["item_counts"], instance["item_types"], instance["item_types_plural"])
    items = ", ".join(f"{count} {one if count == 1 else many}" for count, one, many in names)
    values = ", ".join(f"{name}: {value}" for name, value in zip(instance["item_types"], instance[f"{seat}_values"]))
    text = settings["initial_prompt"].replace("$N$", str(settings["max_turns"]))
    return text.replace("$ITEMS$", items).replace("$VALUE_FUNCTION$", values)


def _check(instance: Mapping, settings: Mapping) -> None:
    if settings["mode"] not in MODES:
        raise InstanceError("mode", f"one of {', '.join(MODES)} is wanted")
    if settings["language"] not in KEYWORDS:
        raise InstanceError("language", f"one of {', '.join(KEYWORDS)} is wanted")
    if settings["max_turns"] < 1:
        raise InstanceError("max_turns", "at least 1 is wanted")
    kinds = len(instance["item_types"])
    for field in ("item_types", "item_types_plural", "item_counts", "player_a_values", "player_b_values"):
        row, names = instance[field], field.startswith("item_types")
        if not all(isinstance(x, str) if names else isinstance(x, int) and x >= 0 for x in row):
            raise InstanceError(field, "names are wanted" if names else "numbers from 0 on are wanted")
        if len(row) != kinds:
            raise InstanceError(field, f"{len(row)} entries, but there are {kinds} item_types")
    if math.prod(count + 1 for count in instance["item_counts"]) > 100_000:
        raise InstanceError("item_counts", "too many divisions to compare")
    if most_together(instance) == 0:
        raise InstanceError("player_a_values", "no item is worth anything to anybody")


DOND = Game(
    name="dond",
    suite="indomain",
    seats=SEATS,
    roles=("DealOrNoDealPlayer", "DealOrNoDealPlayer"),
    levels=tuple(LEVELS),
    fields=dict.fromkeys(("item_types", "item_types_plural", "item_counts", "player_a_values", "player_b_values"), list),
    settings_fields={
        "mode": str,
        "language": str,
        "max_turns": int,
        "initial_prompt": str,
        "proposal_early": str,
        "proposal_timeout": str,
    },
    referee=referee,
    generate=generate,
    target=target,
    settings=settings,
    players={seat: PLAYERS for seat in SEATS},
)
