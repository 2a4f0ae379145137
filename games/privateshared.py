"""Private/shared: answer somebody's questions, and know at any time which of your facts they have learnt.

The questioner is a program that reads out fixed questions, so here it is part of the rules. Between its questions the game
master asks aside, fact by fact, whether it has been shared; these exchanges are then struck from the history.
"""

from __future__ import annotations

import collections
import dataclasses
import math
from collections.abc import Generator, Mapping, Sequence

from games import privateshared_players as players
from games.core import Ask, Game, InstanceError, Outcome, Referee
from games.privateshared_make import LEVELS, SUFFIXES, brief, generate, settings, target, wordings

SEAT = "answerer"
ANSWER, ASIDE = "ANSWER:", "ASIDE:"
READY = "Ok."  # what the answerer is taken to have said to its briefing
PROBE_REQUEST = " Reply with yes or no, and no more."
TRIES = 5
OPTIONAL = {"initial_prompt": str, "probe_request": str, "suffixes": list, "asks": dict, "probes": dict}  # our own settings


@dataclasses.dataclass
class _Table:
    """What an episode counts; `rounds` are the complete probing rounds, as (truth, answer) for each probe."""

    requests: int = 0
    parsed: int = 0
    violated: int = 0
    accepted: int = 0  # answers to the questioner that were in form
    filled: int = 0  # those that held the fact asked for
    rounds: list[list[tuple[int, int]]] = dataclasses.field(default_factory=list)
    progress: list[float] = dataclasses.field(default_factory=list)


def referee(instance: Mapping, settings: Mapping) -> Referee:
    """A probing round, then for each fact a question, and after an answer in form another probing round."""
    order = _checked(instance, settings)
    slots, tag, n = instance["slots"], instance["tag"], len(order)
    asks, probes = wordings(settings, slots)
    template = settings.get("initial_prompt")
    briefing = brief(template, settings["name"], tag, slots) if template else instance["initial_prompt"]
    before: tuple[tuple[str, str], ...] = ((briefing, READY),)
    shared_at = {slot: turn for turn, slot in enumerate(order, 1)}
    table = _Table()

    for turn in range(n + 1):
        if turn:
            slot = order[turn - 1]
            question = _worded(asks[slot], instance["requests"][slot])
            content = _content((yield Ask(SEAT, f"{tag}: {question}")), ANSWER)
            if content is None:  # passed over in silence: no probing, no second try
                table.violated += 1
                table.progress.append(table.filled / n)
                continue
            heard = {s for s in slots if slots[s].lower() in content.lower()}
            table.requests, table.parsed, table.accepted = table.requests + 1, table.parsed + 1, table.accepted + 1
            table.filled += slot in heard
            table.progress.append(table.filled / n)
            shared_at |= {s: min(turn, shared_at[s]) for s in heard}
        verdicts = []
        for slot, wording in instance["probes"][str(turn)].items():
            question = _worded(probes[slot], wording) + settings.get("probe_request", PROBE_REQUEST)
            value = yield from _probe(question, before, settings.get("suffixes") or SUFFIXES, table, n)
            before = ()
            if value is None:
                return _aborted(table, n, f"{TRIES} replies in vain to one question aside")
            verdicts.append((int(turn >= shared_at[slot]), value))
        table.rounds.append(verdicts)
    return _finished(table, n)


def _probe(question: str, before: tuple, suffixes: Sequence[str], table: _Table, n: int) -> Generator[Ask, str, int | None]:
    """Ask aside until the reply is yes (1) or no (0), five times at most; None if it never is."""
    for attempt in range(TRIES):
        text = f"ME: {suffixes[attempt % len(suffixes)]} {question}"
        content = _content((yield Ask(SEAT, text, True, () if attempt else before)), ASIDE)
        word = (content or "").lower()
        value = 1 if word.startswith("yes") else 0 if word.startswith("no") else None
        table.requests += 1
        table.parsed += value is not None
        table.violated += value is None
        table.progress.append(table.filled / n)
        if value is not None:
            return value
    return None


def _content(reply: str, tag: str) -> str | None:
    """What is said after the tag; None unless the reply starts with it and is one line."""
    if not reply.startswith(tag) or "\n" in reply.strip("\n"):
        return None
    return reply.replace(tag, "").strip()


def _finished(table: _Table, n: int) -> Outcome:
    pairs = [pair for verdicts in table.rounds for pair in verdicts]
    right = sum(truth == value for truth, value in pairs)
    accuracy = right / len(pairs)
    kappa = _kappa(pairs)
    known = max(0.0, kappa) if kappa == kappa else 0.0
    filling = table.filled / table.accepted if table.accepted else 0.0
    score = 200 * filling * known / (filling + known) if filling + known else 0.0
    won = right == len(pairs) and filling == 1
    metrics = {"Accuracy": accuracy, "Kappa": kappa, "Truncated Kappa": known, "Slot-Filling-Accuracy": filling}
    if len(table.rounds) > _middle(n):
        verdicts = table.rounds[_middle(n)]
        metrics["Middle-Accuracy"] = sum(truth == value for truth, value in verdicts) / len(verdicts)
    reason = f"{table.filled} of {n} facts shared, {right} of {len(pairs)} probes right"
    counts = (table.requests, table.parsed, table.violated)
    return Outcome("success" if won else "lose", score, *counts, metrics, reason, None, tuple(table.progress))


def _aborted(table: _Table, n: int, reason: str) -> Outcome:
    names = ["Accuracy", "Kappa", "Truncated Kappa", "Slot-Filling-Accuracy"]
    names += ["Middle-Accuracy"] * (len(table.rounds) > _middle(n))
    counts = (table.requests, table.parsed, table.violated)
    return Outcome("aborted", math.nan, *counts, dict.fromkeys(names, math.nan), reason, SEAT, tuple(table.progress))


def _middle(n: int) -> int:
    """Which of the rounds played counts as the middle one (not which of all rounds)."""
    return (n + 1) // 2 - 1


def _kappa(pairs: list[tuple[int, int]]) -> float:
    """Cohen's kappa of (truth, answer) pairs: 1 - observed / expected disagreement; NaN where none is expected."""
    truths, values = (collections.Counter(side) for side in zip(*pairs))
    expected = sum(truths[a] * values[b] for a in truths for b in values if a != b) / len(pairs)
    return 1 - sum(truth != value for truth, value in pairs) / expected if expected else math.nan


def _worded(texts: list[str], number: int) -> str:
    """One of the wordings; an official number may go beyond the few that we have."""
    return texts[number % len(texts)]


def _checked(instance: Mapping, settings: Mapping) -> list[str]:
    """The order of the questions, after a look at the fields that hang together."""
    slots, order = instance["slots"], instance["request_order"]
    if instance.get("lang", "en") != "en":
        raise InstanceError("lang", "only the English tags are known")
    if not slots or not all(isinstance(value, str) for value in slots.values()):
        raise InstanceError("slots", "a text for each slot is wanted")
    if sorted(slot for slot in order if isinstance(slot, str)) != sorted(slots) or len(order) != len(slots):
        raise InstanceError("request_order", "each slot once is wanted")
    by_round = [("probes", instance["probes"].get(str(turn))) for turn in range(len(order) + 1)]
    for field, numbers in [("requests", instance["requests"]), *by_round]:
        if not isinstance(numbers, Mapping) or set(numbers) != set(slots):
            raise InstanceError(field, "a number for each slot is wanted, and in the probes for each round")
        if not all(isinstance(number, int) for number in numbers.values()):
            raise InstanceError(field, "numbers of wordings are wanted")
    for field, kind in OPTIONAL.items():
        if not isinstance(settings.get(field, kind()), kind):
            raise InstanceError(field, f"{kind.__name__} wanted")
    return order


def recorded_replies(record: Mapping) -> list[tuple[str, str]]:
    """The answerer's replies of a recorded episode.

    Replies aside are in the event log as verdicts only; the recorder kept the text of the last try at each probe in
    `extra.probes`. A try whose text is lost was out of form: an empty reply stands for it.
    """
    tries = [_tries(probe) for probing in record["extra"].get("probes", ()) for probe in probing]
    asides = iter([reply for replies in tries for reply in replies])
    replies = []
    for event in (event for turn in record["rounds"] for event in turn):
        if event["type"] == "parse":
            said = next(asides, None)
            replies.append(f"{ASIDE} {event['content']}" if said is None else said)
        elif event["type"] == "get message" and event["from"] == "Player 1" and event.get("label") != "pseudo":
            replies.append(event["content"])
    return [(SEAT, reply) for reply in replies]


def _tries(probe: Mapping) -> list[str]:
    return [""] * (min(probe["tries"], TRIES) - 1) + [probe["answer"]] if "answer" in probe else []


PRIVATESHARED = Game(
    name="privateshared",
    suite="indomain",
    seats=(SEAT,),
    roles=("Answerer",),
    levels=LEVELS,
    fields={"tag": str, "slots": dict, "initial_prompt": str, "request_order": list, "requests": dict, "probes": dict},
    settings_fields={"name": str},
    referee=referee,
    generate=generate,
    target=target,
    settings=settings,
    players={SEAT: players.PLAYERS},
    replies=recorded_replies,
)
