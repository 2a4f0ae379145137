"""Who answers a seat: a policy on the device, a scripted player, or a person."""

from __future__ import annotations

import dataclasses
import difflib
import math
import random
from collections.abc import Iterable, Mapping, Sequence

from games import make
from games.core import Game, Play, Player

LEARNER = "learner"
REMOTE = ("http://", "https://")  # a partner behind an endpoint: http://HOST[:PORT]/v1#MODEL
PAST = "past"  # an earlier self of the learner
FOLDER = "folder:"  # before the path of a policy whose weights stay as they are


@dataclasses.dataclass(frozen=True)
class Scripted:
    """One of the game's own players; its replies depend on (seed, what its seat saw) alone."""

    player: Player
    strength: float = 1.0

    def reply(self, play: Play, seed: str) -> str:
        return self.player(play.view(play.asked.seat, seed, self.strength))


def is_remote(spec: str) -> bool:
    """Whether an endpoint answers for this player."""
    return spec.startswith(REMOTE)


def scripted(game: Game, seat: str, spec: str) -> Scripted:
    """The player written as `name[:strength]`; raises `ValueError` for a name the game does not have."""
    name, _, strength = spec.partition(":")
    known = game.players[seat]
    if name not in known:
        near = difflib.get_close_matches(name, known, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"one of {', '.join(known)}, or a policy"
        raise ValueError(f"{game.name}.{seat} has no player {name!r}: {hint}")
    try:
        value = float(strength or 1.0)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1:
        raise ValueError(f"{game.name}.{seat}={spec}: the strength is a number from 0 to 1")
    return Scripted(known[name], value)


def seating(game: Game, specs: Mapping[str, str], default: str = LEARNER) -> dict[str, str]:
    """Seat -> player spec for every seat: those named in `specs`, chance by its own draws, the rest by `default`."""
    unknown = set(specs) - {*game.seats, *game.chance}
    if unknown:
        raise ValueError(f"{game.name} has no seat {sorted(unknown)[0]!r}: one of {', '.join(game.seats)}")
    chance = {seat: "scripted" for seat in game.chance}
    return {seat: default for seat in game.seats} | chance | dict(specs)


def parse(specs: Sequence[str], games: Sequence[str]) -> dict[str, dict[str, str]]:
    """`game.seat=player` entries as game -> seat -> player, for these games; entries of other games are left out.

    Raises `ValueError` or `KeyError` for an entry of another form, and for a game that does not exist.
    """
    found: dict[str, dict[str, str]] = {game: {} for game in games}
    for spec in specs:
        place, equals, player = spec.partition("=")
        game, dot, seat = place.rpartition(".")
        if not equals or not dot or not player:
            raise ValueError(f"players: {spec!r} is not of the form game.seat=player")
        if make(game).name in found:
            found[game][seat] = player
    return found


def alternatives(spec: str) -> list[tuple[str, float]]:
    """The players of `player*weight|player*weight|...`, a pool from which one is drawn; a weight that is not given is 1."""
    found = []
    for part in spec.split("|"):
        player, star, weight = part.rpartition("*") if "*" in part else (part, "", "1")
        try:
            found.append((player, float(weight)))
        except ValueError:
            raise ValueError(f"players: {part!r} is not of the form player*weight") from None
        if not player or not 0 <= found[-1][1] < math.inf:
            raise ValueError(f"players: {part!r} is not of the form player*weight")
    if not sum(weight for _, weight in found):
        raise ValueError(f"players: {spec!r} leaves nobody to draw")
    return found


def first(spec: str) -> str:
    """The player of a pool who is named first: the one that evaluations are played with."""
    return alternatives(spec)[0][0]


def draw(spec: str, rng: random.Random) -> str:
    """One player of a pool."""
    pool = alternatives(spec)
    return rng.choices([player for player, _ in pool], [weight for _, weight in pool])[0]


def is_policy(spec: str) -> bool:
    """Whether weights on the device answer for this player."""
    return spec in (LEARNER, PAST) or spec.startswith(FOLDER)


def check_seats(game: Game, seats: Mapping[str, str], policies: Iterable[str]) -> None:
    """Raise `ValueError` for a player that is neither one of the game's own nor a policy; chance is never a policy's."""
    for seat, spec in seats.items():
        if seat in game.chance or not (spec in policies or is_remote(spec)):
            scripted(game, seat, spec)


def check(specs: Sequence[str], games: Sequence[str]) -> None:
    """Raise `ValueError` or `KeyError` for a game, a seat or a player that does not exist, also of games not played here."""
    named = [spec.partition("=")[0].rpartition(".")[0] for spec in specs]
    for name, chosen in parse(specs, (*games, *named)).items():
        game = make(name)
        for seat, pool in seating(game, chosen).items():
            for player, _ in alternatives(pool):
                if seat in game.chance or not (is_policy(player) or is_remote(player)):
                    scripted(game, seat, player)
