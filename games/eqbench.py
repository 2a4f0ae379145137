"""EQ-Bench: how strongly does somebody in a dialogue feel each of some emotions? (Paech 2023, arXiv:2312.06281)."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping

from games import eqbench_make as make
from games import eqbench_players as players
from games.core import InstanceError, Outcome
from games.single_turn import answered, brief, prompt, prompts, refused, task

MOST = 10
FULL, SLOPE, MIDDLE, FAR = 6.5, 1.2, 4, 5  # a difference costs little up to FAR, where the S-shaped curve ends
SCALE = 0.7477  # so that answers by chance are worth 0
_NUMBER = re.compile(r":\s+(\d+)")
_WORD_BEFORE = re.compile(r"\w+")


def message(instance: Mapping, settings: Mapping) -> str:
    """The instance's own text; our settings lay a prompt around it."""
    target = instance["target"]
    if not target or not all(type(score) is int and 0 <= score <= MOST for score in target.values()):
        raise InstanceError("target", f"emotions with whole scores from 0 to {MOST} are wanted")
    return prompt(settings, "input", instance["input"]) if "initial_prompt" in settings else instance["input"]


def read(reply: str) -> dict[str, int]:
    """The scores in a reply, `word: number`; the last one of a word counts. A number of absurd length is too large."""
    found, end = {}, 0
    for hit in _NUMBER.finditer(reply):
        start = hit.start()
        while start > end and _WORD_BEFORE.match(reply[start - 1]):
            start -= 1
        if start < hit.start():
            found[reply[start : hit.start()]] = int(hit[1]) if len(hit[1]) < 1000 else MOST + 1
            end = hit.end()
    return found


def main_score(scores: Mapping[str, int], target: Mapping[str, int]) -> float:
    """100 for equal scores; answers far off go below 0."""
    return 10 * (10 - SCALE * sum(_cost(abs(scores[emotion] - wanted)) for emotion, wanted in target.items()))


def _cost(difference: int) -> float:
    if difference == 0:
        return 0.0
    return FULL / (1 + math.exp(-SLOPE * (difference - MIDDLE))) if difference <= FAR else float(difference)


def judge(reply: str, instance: Mapping, settings: Mapping) -> Outcome:
    """The official score may be below 0; the outcome's own score, from which rewards are made, is not."""
    scores, target = read(reply), instance["target"]
    if not scores:
        return refused("no score of the form 'emotion: number'")
    if len(scores) != len(target):
        return refused(f"{len(scores)} scores in place of {len(target)}")
    missing = [emotion for emotion in target if emotion not in scores]
    if missing:
        return refused(f"no score for {brief(missing[0])}")
    if not any(scores.values()):
        return refused("all scores are 0")
    if max(scores.values()) > MOST:
        return refused(f"a score above {MOST}")
    outcome, official = answered(scores == target, str(target)), main_score(scores, target)
    return dataclasses.replace(outcome, score=max(0.0, official), metrics={"Main Score": official})


PROMPTS = {
    "full": (
        "{{input}}\n\nScore how strongly each of these emotions is felt, from 0 (not at all) to 10. At least one score is "
        "above 0. Reply with one line for each emotion, in this form, and with nothing else:\n\nEmotion: 0"
    ),
    "short": "{{input}}\n\nScore each 0-10, lines like `Emotion: 0`",
}
settings = prompts(PROMPTS)


EQBENCH = task(
    "eqbench",
    make.EMOTIONS,
    message,
    judge,
    {"scripted": players.score, "random": players.score_anything, "broken": players.chat},
    target=dict,
    generate=make.generate,
    settings=settings,
)
