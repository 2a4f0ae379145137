"""Scripted players of EQ-Bench."""

from __future__ import annotations

import re

from games.core import View
from games.eqbench_make import scenes

_FORM = re.compile(r"^(\w+): +(?:<score>|\d+)$", re.MULTILINE)


def _emotions(text: str) -> list[str]:
    """The emotions that a prompt asks for: those of our list, or those of the official form."""
    listed = re.search(r"feels now:\n((?:\w+\n)+)", text + "\n")
    return listed[1].split() if listed else _FORM.findall(text) or ["Calm"]


def _scores(view: View, knowing: bool) -> list[tuple[str, int]]:
    feelings = next((found for event, found in scenes().items() if event in view.seen[0]), {}) if knowing else {}
    scores = [(emotion, feelings.get(emotion, view.rng.randint(0, 10))) for emotion in _emotions(view.seen[0])]
    return scores if any(score for _, score in scores) else [(emotion, 1) for emotion, _ in scores]


def _lines(scores: list[tuple[str, int]]) -> str:
    return "\n".join(f"{emotion}: {score}" for emotion, score in scores)


def score(view: View) -> str:
    """The right scores to our own dialogues; a weak player, and one who reads another, scores by chance."""
    return _lines(_scores(view, view.rng.random() <= view.strength))


def score_anything(view: View) -> str:
    return _lines(_scores(view, False))


def chat(view: View) -> str:
    """Scores in other forms, too many or too few; now and then good ones."""
    scores = _scores(view, True)
    if view.rng.random() < 0.2:
        return _lines(scores)
    (first, value), rest = scores[0], scores[1:]
    wrong = (
        ", ".join(f"{emotion}:{number}" for emotion, number in scores),
        _lines(scores) + "\nNote: 3",
        _lines([(first.lower(), value), *rest]),
        _lines(rest),
        _lines([(first, 11), *rest]),
        _lines([(emotion, 0) for emotion, _ in scores]),
        "It depends on the person.",
    )
    return view.rng.choice(wrong)
