"""Take a seat in the terminal: `python -m playpen_jax.play GAME [--seat=SEAT] [--players=SEAT=PLAYER,...]`.

The other seats are played by scripted players, or by a policy: `--players=describer=tiny` names a checkpoint, a folder or
"tiny". An empty line sends the reply; Ctrl-D leaves the game.
"""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable, Sequence

import games
from games.core import Game, Play
from playpen_jax import players
from playpen_jax.programs import compilation_cache, parser, user_errors

Answer = Callable[[Play], str]


def read_reply() -> str:
    """Lines up to an empty one; raises `EOFError` at the end of the input."""
    lines: list[str] = []
    while True:
        line = input("… " if lines else "> ")
        if not line and lines:
            return "\n".join(lines)
        if line:
            lines.append(line)


def person(play: Play) -> str:
    return read_reply()


def model_seat(path: str, seat: str) -> Answer:
    """A policy that answers for one seat, greedily."""
    from playpen_jax import policy  # JAX is needed only if a model plays

    compilation_cache()
    loaded = policy.load(path)

    def answer(play: Play) -> str:
        dialogue = []
        for ask, reply in play.history:
            if ask.seat == seat:
                dialogue += [{"role": "user", "content": ask.text}, {"role": "assistant", "content": reply}]
        return loaded.generate([[*dialogue, {"role": "user", "content": play.ask.text}]], max_tokens=100)[0]

    return answer


def cast(game: Game, mine: str, specs: dict[str, str], seed: int) -> dict[str, Answer]:
    """Who answers each seat."""
    found: dict[str, Answer] = {mine: person}
    for seat, spec in players.seating(game, specs, "scripted").items():
        if seat == mine:
            continue
        if spec.partition(":")[0] in game.players[seat]:
            bot = players.scripted(game, seat, spec)
            found[seat] = lambda play, bot=bot: bot.reply(play, str(seed))
        else:
            found[seat] = model_seat(spec, seat)
    return found


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
    with user_errors():
        game = games.make(args.game)
        mine = args.seat or ("guesser" if "guesser" in game.seats else game.seats[0])
        if mine not in game.seats:
            raise ValueError(f"{game.name} has no seat {mine!r}: one of {', '.join(game.seats)}")
        seed = random.SystemRandom().randrange(10**6) if args.seed is None else args.seed
        pairs = [spec.partition("=") for spec in args.players.split(",") if spec]
        answers = cast(game, mine, {seat: player for seat, _, player in pairs}, seed)
        instance = game.instances("test", 1, seed, args.level or game.levels[0])[0]
        play = game.start(instance, form=args.form)
    print(f"{bold(game.name)}, level {instance['level']}, seed {seed}: you are the {bold(mine)}.")
    print("End a reply with an empty line.\n")
    while play.ask is not None:
        seat = play.ask.seat
        if seat == mine:
            print(play.ask.text + "\n")
        try:
            reply = answers[seat](play)
        except (EOFError, KeyboardInterrupt):  # the person leaves
            print("\nleft the game")
            return os.EX_OK
        if seat == mine:
            print()
        play.reply(reply)
    outcome = play.outcome
    print(bold(f"{outcome.status}: {outcome.reason}" if outcome.reason else outcome.status))
    print(f"score {outcome.score:g} of 100, {len(play.history)} replies, target: {game.target(instance)}")
    return os.EX_OK


if __name__ == "__main__":
    sys.exit(main())
