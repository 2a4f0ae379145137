"""One battery over every game of the table: a game is covered by being in it, once `game_secrets.py` says what it hides."""

from __future__ import annotations

import copy
import dataclasses
import functools
import hashlib
import itertools
import json
import math
import os
import random
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import pytest

import games
from games import records
from games.core import FORMS, SPLITS, Ask, Game, Outcome, Play, play_out, split_of
from playpen_jax import config as configs
from tests import golden_games
from tests.common import ROOT, SHARED
from tests.game_secrets import PLACES, SECRETS, WORDS
from tests.strange import strange

NAMES = list(games.TABLE)
KINDS = ("scripted", "random", "broken")
NEVER_ABORTED = ("bbh", "ifeval")  # every reply is valid, and most are wrong
LUCK = ("ta_blackjack",)  # no skill wins most of these; how good their players are their own tests measure
LONGEST = 1000  # replies that no episode may need
SLOWEST = 0.5  # seconds of processor time that no reply may take


class Script(NamedTuple):
    """An episode to play again: where it starts, and who said what."""

    instance: dict
    settings: Mapping
    replies: tuple[tuple[str, str], ...]

    def start(self, game: Game, replies: int | None = 0) -> Play:
        """The play after that many of the replies (None: after all of them)."""
        play = game.start(self.instance, self.settings)
        for seat, text in self.replies[:replies]:
            assert play.ask.seat == seat
            play.reply(text)
        return play


def seated(game: Game, kind: str, strength: float = 1.0) -> dict:
    """The players of that kind on all seats; chance draws as it always does."""
    seats = {seat: (game.players[seat][kind], strength) for seat in game.seats}
    return seats | {seat: (game.players[seat]["scripted"], strength) for seat in game.chance}


def script(game: Game, instance: dict, form: str, kind: str, seed: int = 0) -> Script:
    settings = game.settings(instance["level"], form)
    play = play_out(game.start(instance, settings), seated(game, kind), seed)
    return Script(instance, settings, tuple((ask.seat, text) for ask, text in play.history))


@functools.cache
def scripts(name: str, kind: str = "scripted") -> list[Script]:
    """An episode of every level in both forms."""
    game = games.make(name)
    instances = [game.instances("train", 1, level=level)[0] for level in game.levels]
    return [script(game, instance, form, kind) for instance, form in itertools.product(instances, FORMS)]


def trace(play: Play) -> str:
    """All that can be seen of a play; NaN equals NaN in it."""
    return repr((play.history, play.ask, play.outcome))


@pytest.fixture(params=NAMES)
def game(request) -> Game:
    return games.make(request.param)


# --- the protocol


def test_same_replies_same_episode(game):
    for one in scripts(game.name):
        first, second = one.start(game, None), one.start(game, None)
        assert first.outcome is not None and trace(first) == trace(second)


def digests() -> dict[str, str]:
    """A digest of instances, prompts, replies and outcomes for every game."""
    found = {}
    for name in NAMES:
        game = games.make(name)
        instances = [game.instances(split, 4, seed=1) for split in SPLITS]
        plays = [trace(one.start(game, None)) for kind in KINDS for one in scripts(name, kind)]
        plays += [trace(play_out(game.start(instance), seated(game, "scripted", 0.5))) for instance in instances[0]]
        found[name] = hashlib.sha256(repr((instances, plays)).encode()).hexdigest()
    return found


def test_another_process_plays_the_same():
    code = "import json; from tests.test_games import digests; print(json.dumps(digests()))"
    seed = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=os.environ | {"PYTHONHASHSEED": seed}, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    theirs, ours = json.loads(run.stdout), digests()
    assert [name for name in NAMES if theirs[name] != ours[name]] == []


def test_a_fork_goes_on_alone(game):
    for one in scripts(game.name):
        if len(one.replies) > 30:
            continue
        straight = one.start(game, None)
        walker = one.start(game)
        for number, (_, text) in enumerate(one.replies):
            fork, aside = walker.fork(), walker.fork()
            assert trace(fork) == trace(walker)
            for _, rest in one.replies[number:]:
                fork.reply(rest)
            assert trace(fork) == trace(straight)
            aside.reply("")
            assert len(walker.history) == number and walker.outcome is None
            walker.reply(text)
        assert trace(walker) == trace(straight)


def test_the_end_is_the_end(game):
    for kind in KINDS:
        play = scripts(game.name, kind)[0].start(game, None)
        before = trace(play)
        for text in ("", scripts(game.name)[0].replies[0][1]):
            with pytest.raises(RuntimeError, match="ended"):
                play.reply(text)
        assert play.ask is None and trace(play) == before
        assert trace(play.fork()) == before


def checked(play: Play) -> Outcome:
    """The outcome of an ended play, after a look at what must hold of every outcome."""
    game, outcome = play.game, play.outcome
    assert play.ask is None and outcome is not None
    assert outcome.status in ("success", "lose", "aborted")
    assert math.isnan(outcome.score) if outcome.status == "aborted" else 0 <= outcome.score <= 100
    assert 0 <= outcome.parsed <= outcome.requests and outcome.violated >= 0
    assert 0 < len(outcome.reason) <= 200 and "\n" not in outcome.reason
    assert outcome.seat is None or outcome.seat in game.seats
    assert outcome.status != "success" or outcome.seat is None
    assert len(outcome.progress) in (0, len(play.history)) and all(0 <= value <= 1 for value in outcome.progress)
    official = outcome.official()
    assert set(records.COMPARED) <= official.keys() and "Request Success Ratio" in official
    json.dumps(official)
    return outcome


def test_outcomes_keep_the_rules_of_outcomes(game):
    for kind in KINDS:
        for one in scripts(game.name, kind):
            checked(one.start(game, None))


@pytest.mark.skipif(SHARED is None, reason="recorded episodes are not at hand")
def test_outcomes_carry_the_recorded_names(game):
    path = SHARED / "replay" / f"{game.name}.jsonl.gz"
    if not path.exists():
        pytest.skip("no recorded episodes of this game")
    for record in itertools.islice(records.read_records(path), 20):
        play, differences = records.replay(record)
        assert not differences
        assert record["episode_scores"].keys() <= checked(play).official().keys()


# --- limits


def longest(game: Game, instance: dict, form: str, seed: int) -> Play:
    """Legal play that avoids the end: of some random replies the first that does not end the episode."""
    play, players = game.start(instance, form=form), seated(game, "random")
    while play.ask is not None:
        assert len(play.history) < LONGEST
        seat = play.ask.seat
        replies = {players[seat][0](play.view(seat, f"{seed}/{attempt}")): None for attempt in range(8)}
        for text in replies:
            trial = play.fork()
            trial.reply(text)
            if trial.ask is not None:
                break
        play.reply(text)
    return play


def test_play_that_avoids_the_end_meets_a_limit(game):
    instance = game.instances("train", 1, level=game.levels[0])[0]
    for form in FORMS:
        checked(longest(game, instance, form, seed=3))


# --- instances and prompts


def test_splits_share_no_target(game):
    owner: dict[str, str] = {}
    for split, seed in itertools.product(SPLITS, range(3)):
        instances = game.instances(split, 2 * len(game.levels), seed=seed)
        targets = [game.target(instance) for instance in instances]
        assert len(set(targets)) == len(targets) > 0
        for target in targets:
            assert split_of(target) == split and owner.setdefault(target, split) == split


def test_instances_are_reproducible(game):
    assert game.instances("test", 6, seed=7) == game.instances("test", 6, seed=7)
    assert game.instances("test", 6, seed=7) != game.instances("test", 6, seed=8)
    assert game.instances("train", 6, seed=7)[:3] == game.instances("train", 3, seed=7)
    for level in game.levels:
        assert [instance["level"] for instance in game.instances("train", 2, level=level)] == [level] * 2


def test_instances_and_settings_are_plain_data(game):
    for one in scripts(game.name):
        assert json.loads(json.dumps(one.instance)) == one.instance
        again = Script(one.instance, json.loads(json.dumps(one.settings)), one.replies)
        assert trace(again.start(game, None)) == trace(one.start(game, None))


def test_playing_changes_neither_instance_nor_settings(game):
    for kind in KINDS:
        for one in scripts(game.name, kind)[:2]:
            before = copy.deepcopy((one.instance, one.settings))
            play_out(one.start(game), seated(game, kind), seed=4)
            assert (one.instance, one.settings) == before


def test_short_prompts_are_short(game):
    for full, short in zip(scripts(game.name)[::2], scripts(game.name)[1::2]):
        asked = [{ask.seat: ask.shown for ask, _ in reversed(one.start(game, None).history)} for one in (full, short)]
        for seat in set(game.seats).intersection(*asked):
            assert len(asked[1][seat].split()) < len(asked[0][seat].split())


# --- players


def scores(game: Game, kind: str, strength: float = 1.0) -> list[Outcome]:
    instances = game.instances("validation", 18, seed=5)
    return [play_out(game.start(i), seated(game, kind, strength), seed=i["game_id"]).outcome for i in instances]


def mean(outcomes: list[Outcome]) -> float:
    return sum(0 if math.isnan(outcome.score) else outcome.score for outcome in outcomes) / len(outcomes)


def test_players_are_as_good_as_their_names(game):
    best, weak, random_, broken = (
        scores(game, *which) for which in (("scripted", 1.0), ("scripted", 0.3), ("random",), ("broken",))
    )
    if game.name not in LUCK:
        assert sum(outcome.status == "success" for outcome in best) > 0.65 * len(best)
        assert mean(best) > 65 and mean(weak) < mean(best) - 10 and mean(random_) < mean(best) - 30
    wrong = ("lose",) if game.name in NEVER_ABORTED else ("aborted",)
    assert sum(outcome.status in wrong for outcome in broken) > 0.5 * len(broken)
    assert sum(outcome.status == "aborted" for outcome in best) == 0


def test_players_are_pure_functions_of_their_view(game):
    state = random.getstate()
    turns = []
    for one in scripts(game.name)[:4] + scripts(game.name)[-2:]:
        play = one.start(game)
        for _, text in one.replies[:40]:
            seat = play.ask.seat
            for kind in game.players[seat]:
                turns.append((game.players[seat][kind], play.fork(), seat, kind))
            play.reply(text)
    say = lambda player, play, seat, kind: player(play.view(seat, seed=9, strength=0.6))
    said = [say(*turn) for turn in turns]
    assert all(isinstance(text, str) for text in said)
    shuffled = random.Random(0).sample(range(len(turns)), len(turns))
    assert {i: say(*turns[i]) for i in shuffled} == dict(enumerate(said))
    assert random.getstate() == state, "a player draws from the global generator"


# --- secrets


def told(play: Play, seat: str) -> list[str]:
    """The messages of a seat so far, the pending one included."""
    texts = [ask.shown for ask, _ in play.history if ask.seat == seat]
    return texts + ([play.ask.shown] if play.ask and play.ask.seat == seat else [])


def leak(game: Game, one: Script, twin: dict, seat: str, first: bool) -> str | None:
    """A message to `seat` that differs between two instances although the same was said, or None.

    The comparison ends where one of the two plays ends or another seat is asked: this the rules may make of the secret.
    """
    plays = [game.start(instance, one.settings) for instance in (one.instance, twin)]
    for _, text in (*one.replies, (None, "")):
        asks = [play.ask for play in plays]
        if None in asks or asks[0].seat != asks[1].seat:
            return None
        if asks[0].seat == seat and asks[0].text != asks[1].text:
            return asks[0].text
        if first and asks[0].seat == seat:
            return None
        for play in plays:
            play.reply(text)
    return None


def leaks(game: Game, one: Script, other: dict) -> list[str]:
    """Messages that tell a seat what `SECRETS` hides from it."""
    found = []
    for seat, change, first in SECRETS[game.name]:
        twin = change(one.instance, other)
        if twin != one.instance:
            found.append(leak(game, one, twin, seat, first))
    return [text for text in found if text is not None]


def slips(one: Script, play: Play) -> list[tuple[str, str]]:
    """(word, message) where a seat was shown one of `WORDS` that nobody had said and that the settings do not tell anyway."""
    public = " ".join(_texts(one.settings)).casefold() + one.instance.get("target_word_clue", "")
    found = []
    for seat, words in WORDS.get(play.game.name, ()):
        for word in (word.casefold() for word in words(one.instance)):
            shown = re.compile(rf"(?<!\w){re.escape(word)}(?!\w)")
            said = False
            for ask, text in play.history:
                if ask.seat == seat and not said and word not in public and shown.search(ask.shown.casefold()):
                    found.append((word, ask.shown))
                said = said or word in text.casefold()
    return found


def _texts(value: object) -> Iterator[str]:
    """The texts of some settings, long lists of words left out."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list) and len(value) < 100:
        for inner in value:
            yield from _texts(inner)


@functools.cache
def spare(name: str, level: str) -> list[dict]:
    return games.make(name).instances("train", 2, seed=11, level=level)


def another(game: Game, one: Script) -> dict:
    """Another instance of the same level."""
    return next(i for i in spare(game.name, one.instance["level"]) if game.target(i) != game.target(one.instance))


def test_every_game_says_what_it_hides():
    assert SECRETS.keys() == set(NAMES)
    assert WORDS.keys() | PLACES.keys() <= set(NAMES)


def test_no_seat_is_shown_the_secret_of_another(game):
    changed = set()
    for kind in KINDS:
        for one in scripts(game.name, kind):
            other = another(game, one)
            assert leaks(game, one, other) == []
            assert slips(one, one.start(game, None)) == []
            changed |= {s.seat for s in SECRETS[game.name] if s.change(one.instance, other) != one.instance}
    assert changed == {secret.seat for secret in SECRETS[game.name]}


def test_a_leak_is_found():
    taboo = games.make("taboo")
    one = scripts("taboo")[0]

    def indiscreet(instance, settings):
        reply = yield Ask("describer", "")
        for _ in range(2):
            reply = yield Ask("guesser", f"The word, by the way, is {instance['target_word'].upper()}.\n{reply}")
        return Outcome("lose", 0, 3, 3, 0, reason="over")

    leaky = dataclasses.replace(taboo, referee=indiscreet)
    said = Script(one.instance, one.settings, (("describer", "CLUE: x"), ("guesser", "GUESS: y"), ("guesser", "GUESS: z")))
    assert len(leaks(leaky, said, another(taboo, one))) == 1
    assert [word for word, _ in slips(said, said.start(leaky, None))] == [one.instance["target_word"]] * 2


@pytest.mark.parametrize("name", PLACES)
def test_a_place_is_named_only_to_one_who_is_there(name):
    game, (seat, places) = games.make(name), PLACES[name]
    counts = set()
    for kind in KINDS:
        for one in scripts(name, kind):
            names = [place for place in places(one.instance) if place not in one.settings["Prompt"]]
            texts = told(one.start(game, None), seat)
            counts |= {sum(bool(re.search(rf"\b{place}\b", text)) for place in names) for text in texts}
    assert counts == {0, 1} or counts == {1}


# --- strange replies


def cut(game: Game, source: list[Script], seed: str) -> tuple[Script, Play]:
    """A script and a play of it, cut short somewhere."""
    rng = random.Random(seed)
    one = rng.choice(source)
    return one, one.start(game, rng.randrange(len(one.replies)))


def pester(play: Play, one: Script, seed: str) -> float:
    """Nothing but strange replies until the end; returns the processor time of the slowest."""
    rng, slowest = random.Random(seed), 0.0
    while play.ask is not None:
        number, seat = len(play.history), play.ask.seat
        assert number < LONGEST, "no end"
        good = [text for who, text in one.replies[number : number + 1] if who == seat]
        good = good or [text for who, text in one.replies if who == seat] or [""]
        text = strange(rng, rng.choice(good), play.ask.text)
        start = time.process_time()
        play.reply(text)
        slowest = max(slowest, time.process_time() - start)
    return slowest


def pestered(game: Game, source: list[Script], replies: int) -> None:
    """Play until so many strange replies were given, and look at every episode."""
    given = 0
    for number in itertools.count():
        if given >= replies:
            break
        seed = f"{game.name}/{number}"
        one, play = cut(game, source, seed)
        before = len(play.history)
        slowest = pester(play, one, seed)
        checked(play)
        assert slowest < SLOWEST, (seed, slowest)
        assert slips(one, play) == [], seed
        given += len(play.history) - before


def test_strange_replies_meet_the_rules(game):
    pestered(game, scripts(game.name), 300)


@pytest.mark.slow
def test_a_hundred_thousand_strange_replies_meet_the_rules(game):
    pestered(game, scripts(game.name) + scripts(game.name, "broken"), 100_000)


def recorded(game: Game, episodes: int) -> list[Script]:
    """Recorded episodes as scripts, a fresh draw of them."""
    path = SHARED / "replay" / f"{game.name}.jsonl.gz"
    every = list(records.read_records(path)) if path.exists() else []
    drawn = random.Random(0).sample(every, min(episodes, len(every)))
    return [Script(r["instance"], r["settings"], tuple(records.replies(game, r))) for r in drawn]


@pytest.mark.slow
@pytest.mark.skipif(SHARED is None, reason="recorded episodes are not at hand")
def test_strange_replies_meet_the_official_rules(game):
    source = recorded(game, 200)
    if not source:
        pytest.skip("no recorded episodes of this game")
    pestered(game, source, 20_000)


def test_secrets_keep_when_replies_are_strange(game):
    source = [one for one in scripts(game.name) if len(one.replies) < 100]
    for number in range(60):
        seed = f"secret/{number}"
        one, play = cut(game, source, seed)
        pester(play, one, seed)
        strange_one = Script(one.instance, one.settings, tuple((ask.seat, text) for ask, text in play.history))
        assert leaks(game, strange_one, another(game, one)) == [], seed


def beside(game: Game, one: Script, seed: str) -> None:
    """One seat is strange now and then, the others are played by the game's players, who must bear it."""
    rng = random.Random(seed)
    play, odd = one.start(game), rng.choice(game.seats)
    kinds = {seat: rng.choice(list(game.players[seat])) for seat in (*game.seats, *game.chance)}
    while play.ask is not None:
        seat = play.ask.seat
        start = time.process_time()
        text = game.players[seat][kinds[seat]](play.view(seat, seed, rng.random()))
        assert time.process_time() - start < SLOWEST, seed
        play.reply(strange(rng, text, play.ask.text) if seat == odd and rng.random() < 0.4 else text)
    checked(play)


def test_players_bear_strange_partners(game):
    for number in range(40):
        beside(game, cut(game, scripts(game.name), f"{number}")[0], f"{game.name}/{number}")


@pytest.mark.slow
def test_players_bear_a_thousand_strange_partners(game):
    for number in range(1000):
        beside(game, cut(game, scripts(game.name), f"{number}")[0], f"{game.name}/{number}")


# --- golden playthroughs


def test_the_golden_playthroughs_are_those_of_the_table():
    assert {path.stem for path in golden_games.FOLDER.glob("*")} == set(NAMES)


def test_golden_playthrough(game):
    wanted = golden_games.path(game.name).read_text(encoding="utf-8")
    assert golden_games.text(game) == wanted, f"if this is meant: python -m tests.golden_games {game.name}"


# --- the page on writing a game


def test_the_page_on_writing_a_game(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(games, "_REGISTERED", {})
    page = (ROOT / "docs" / "games.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    rules = [line for line in blocks[0].partition("split_of\n")[2].splitlines() if line]
    assert len(rules) <= 20, "the heading says twenty lines"
    file = tmp_path / "higher_lower.py"
    file.write_text("\n\n".join(blocks), encoding="utf-8")
    assert configs.load(str(file)).games == ("higher_lower",)
    assert capsys.readouterr().out == re.search(r"^```text\n(.*?)^```", page, re.MULTILINE | re.DOTALL)[1]

    monkeypatch.setattr(games, "_REGISTERED", {})
    game = games.make(f"{file}:higher_lower")
    assert games.make("higher_lower") is games.make(f"{file}:higher_lower") is game
    for wrong, why in ((f"{file}:lower", "registers no game 'lower': only higher_lower"), ("no.py:x", "no file no.py")):
        with pytest.raises(KeyError, match=why):
            games.make(wrong)
    (tmp_path / "bad.py").write_text("1 / 0")
    with pytest.raises(KeyError, match="bad.py cannot be run: ZeroDivisionError"):
        games.make(f"{tmp_path / 'bad.py'}:x")
    for check in (
        test_same_replies_same_episode,
        test_a_fork_goes_on_alone,
        test_the_end_is_the_end,
        test_outcomes_keep_the_rules_of_outcomes,
        test_play_that_avoids_the_end_meets_a_limit,
        test_splits_share_no_target,
        test_instances_are_reproducible,
        test_short_prompts_are_short,
        test_players_are_as_good_as_their_names,
        test_players_are_pure_functions_of_their_view,
        test_strange_replies_meet_the_rules,
    ):
        check(game)
