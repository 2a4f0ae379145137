"""The golden playthroughs in `tests/golden/games/`, one file a game: `python -m tests.golden_games [GAME ...]` makes them anew.

They are there to be read: what every seat is shown, what it says, and what the rules make of it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import games
from games.core import Game, play_out
from tests.common import ROOT

FOLDER = ROOT / "tests" / "golden" / "games"


def path(name: str) -> Path:
    """The file of a game."""
    return FOLDER / f"{name}.txt"


def text(game: Game) -> str:
    """The file's content: an episode with the full prompts, one with the short ones, one of players who break the rules."""
    easy, other = game.levels[0], game.levels[len(game.levels) // 2]
    episodes = [(easy, "full", "scripted"), (other, "short", "scripted"), (easy, "full", "broken")]
    return "\n\n".join(episode(game, *which) for which in episodes)


def episode(game: Game, level: str, form: str, kind: str) -> str:
    """One episode with seed 0: lines begin with ">" where a seat is told something, with "<" where it answers.

    "=" is what it is taken to have answered, without being asked.
    """
    instance = game.instances("train", 1, level=level)[0]
    players = {seat: (game.players[seat][kind], 1.0) for seat in game.seats}
    players |= {seat: (game.players[seat]["scripted"], 1.0) for seat in game.chance}
    play = play_out(game.start(instance, form=form), players)
    lines = [f"=== {game.name}, level {level}, {form} prompts, {kind} players"]
    for ask, reply in play.history:
        for shown, said in ask.before:
            lines += ["", ask.seat, *_marked("> ", shown), *_marked("= ", said)]
        lines += ["", ask.seat + " (aside)" * ask.aside, *_marked("> ", ask.text), *_marked("< ", reply)]
    outcome = play.outcome
    lines += ["", f"--- {outcome.status}: {outcome.reason}" + (f" ({outcome.seat})" if outcome.seat else "")]
    lines += [f"{key}: {value}" for key, value in outcome.official().items()]
    lines += ["progress: " + " ".join(f"{value:.3g}" for value in outcome.progress)] if outcome.progress else []
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _marked(mark: str, message: str) -> list[str]:
    return [mark + line for line in message.split("\n")]


def main(argv: Sequence[str]) -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in argv or games.names():
        path(name).write_text(text(games.make(name)), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
