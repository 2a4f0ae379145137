"""Take a seat in the terminal: `python -m playpen_jax.play GAME [--seat=SEAT] [--players=SEAT=PLAYER,...]`.

The other seats are played by scripted players, or by a policy: `--players=describer=tiny` names a checkpoint, a folder or
"tiny". An empty line sends the reply; Ctrl-D, or the end of the input, leaves the game.
"""

from __future__ import annotations

import io
import math
import os
import random
import shutil
import sys
import textwrap
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import games
from games.core import Game, Play
from playpen_jax import players
from playpen_jax.programs import compilation_cache, parser, user_errors
from playpen_jax.transcript import printable

Answer = Callable[[Play], str]


def read_reply() -> str:
    """Lines up to an empty one or the end of the input; raises `EOFError` if there are none."""
    lines: list[str] = []
    while True:
        try:
            line = input("… " if lines else "> ")
        except EOFError:
            if not lines:
                raise
            line = ""
        if line:
            lines.append(line)
        elif lines:
            return "\n".join(lines)


def person(play: Play) -> str:
    return read_reply()


def model_seat(path: str) -> Answer:
    """A policy that answers for the seat that is asked, greedily."""
    from playpen_jax import policy  # JAX is needed only if a model plays

    compilation_cache()
    loaded = policy.load(path)
    if loaded.chat is None:
        raise ValueError(f"{path} has no tokenizer, so it cannot play")

    def answer(play: Play) -> str:
        return loaded.generate([play.messages()], max_tokens=100)[0]

    return answer


def seats(text: str) -> dict[str, str]:
    """seat=player,... as seat -> player."""
    pairs = [spec.partition("=") for spec in text.split(",") if spec]
    for seat, equals, player in pairs:
        if not player:
            raise ValueError(f"--players: {seat + equals!r} is not of the form seat=player")
    return {seat: player for seat, _, player in pairs}


def cast(game: Game, mine: str, specs: dict[str, str], seed: int) -> dict[str, Answer]:
    """Who answers each seat."""
    found: dict[str, Answer] = {mine: person}
    for seat, spec in players.seating(game, specs, "scripted").items():
        if seat == mine:
            continue
        if not (spec == "tiny" or Path(spec).exists()):
            bot = players.scripted(game, seat, spec)
            found[seat] = partial(bot.reply, seed=str(seed))
        else:
            found[seat] = model_seat(spec)
    return found


def show(text: str) -> None:
    """A message on the terminal: long lines broken between words, nothing that would bend the screen."""
    text = printable(text, len(text))
    if sys.stdout.isatty():
        width = shutil.get_terminal_size().columns
        text = "\n".join(textwrap.fill(line, width) if len(line) > width else line for line in text.split("\n"))
    print(text + "\n")


def bold(text: str) -> str:
    return f"\033[1m{text}\033[0m" if sys.stdout.isatty() else text


def main(argv: Sequence[str] | None = None) -> int:
    options = parser("play", __doc__)
    options.add_argument("game", metavar="GAME", help="one of " + ", ".join(games.names()))
    options.add_argument("--seat", help="the seat you take (default: the one that wins or loses by guessing, else the first)")
    options.add_argument("--players", default="", help="seat=player,... for the other seats (default: scripted)")
    options.add_argument("--level", help="difficulty (default: the easiest)")
    options.add_argument("--form", choices=("full", "short"), default="full", help="long or short explanations")
    options.add_argument("--seed", type=int, help="which instance (default: a random one)")
    args = options.parse_args(argv)
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="replace")  # what is no text is a reply too
    with user_errors():
        game = games.make(args.game)
        mine = args.seat or ("guesser" if "guesser" in game.seats else game.seats[0])
        if mine not in game.seats:
            raise ValueError(f"{game.name} has no seat {mine!r}: one of {', '.join(game.seats)}")
        seed = random.SystemRandom().randrange(10**6) if args.seed is None else args.seed
        answers = cast(game, mine, seats(args.players), seed)
        instance = game.instances("test", 1, seed, args.level or game.levels[0])[0]
        play = game.start(instance, form=args.form)
    print(f"{bold(game.name)}, level {instance['level']}, seed {seed}: you are the {bold(mine)}.")
    print("End a reply with an empty line; Ctrl-D leaves the game.\n")
    while play.ask is not None:
        seat = play.ask.seat
        if seat == mine:
            show(play.ask.shown)
        try:
            reply = answers[seat](play)
        except (EOFError, KeyboardInterrupt):  # the person leaves
            print("\nleft the game")
            return os.EX_OK
        if seat == mine:
            print()
        play.reply(reply)
    outcome = play.ended
    print(bold(outcome.status + (f": {printable(outcome.reason)}" if outcome.reason else "")))
    score = "no score" if math.isnan(outcome.score) else f"score {outcome.score:g} of 100"
    target = game.target(instance)
    print(f"{score}, {len(play.history)} replies" + (f", the word: {target}" if target.isalpha() else ""))
    return os.EX_OK


if __name__ == "__main__":
    sys.exit(main())
