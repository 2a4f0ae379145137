"""Games of the package clemcore in our rollouts: small ones are written to a folder, as in a clembench checkout."""

from __future__ import annotations

import importlib.util
import json
import math
import random
import subprocess
import sys

import numpy as np
import pytest

import games
from games.core import SPLITS, InstanceError
from playpen_jax import checks, draws, evaluate
from playpen_jax import config as configs
from playpen_jax.bridges import clembench
from tests.common import ROOT

pytestmark = pytest.mark.skipif(not importlib.util.find_spec("clemcore"), reason="needs the package clemcore")

# a player of ours bets against a programmatic dealer who draws; the newer loop and scorer
LOTTERY = """
import math
import random

import numpy as np
from clemcore.backends import CustomResponseModel
from clemcore.clemgame import DialogueGameMaster, GameBenchmark, GameError, GameScorer, ParseError, Player
from words import TAG


class Bettor(Player):
    def _custom_response(self, context):
        return f"{TAG} 0"


class Dealer(Player):
    def _custom_response(self, context):
        return f"{random.randint(1, 6)} {np.random.randint(100)}"


class Master(DialogueGameMaster):
    def _on_setup(self, top, **instance):
        self.top, self.level = top, instance["level"]
        self.bettor, self.dealer = Bettor(self.player_models[0]), Dealer(CustomResponseModel())
        self.add_player(self.bettor, initial_prompt=self.experiment["prompt"])
        self.add_player(self.dealer)

    def _on_before_game(self):
        self.set_context_for(self.bettor, f"up to {self.top}")

    def _parse_response(self, player, response):
        from words import TAG as late  # imported while the game runs

        if player is self.dealer:
            return response
        if not response.startswith(late):
            self.log_to_self("invalid format", "no bet")
            raise ParseError("no bet", response)
        return response.removeprefix(late)

    def _on_parse_error(self, error):
        self.state.abort()

    def _on_game_error(self, error):
        self.state.failed()

    def _advance_game(self, player, parsed):
        if player is self.bettor:
            self.bet = int(parsed)  # the code of a game may have faults
            if self.bet > self.top:
                raise GameError("too high")
            self.set_context_for(self.dealer, "draw")
        elif int(parsed.split()[0]) == self.bet:
            self.state.succeed()
        else:
            self.set_context_for(self.bettor, f"drawn: {parsed}, heard {len(self.bettor.get_perspective())}")

    def _on_after_round(self):
        if self.current_round + 1 >= self.experiment["rounds"] and self._does_game_proceed():
            self.state.failed()

    def _on_after_game(self):
        for key, reached in (("Aborted", "aborted"), ("Success", "success"), ("Lose", "failure")):
            self.log_key(key, int(self.state.outcome.value == reached))


class Scorer(GameScorer):
    def compute_round_score(self, number, events):
        pass

    def compute_episode_scores(self, interactions):
        rounds = len(interactions["turns"])
        score = math.nan if interactions["Aborted"] else 100 * interactions["Success"] / rounds
        self.log_episode_score("Rounds", rounds)
        self.log_episode_score("Main Score", score)


class Benchmark(GameBenchmark):
    def create_game_master(self, experiment, player_models):
        return Master(self.game_spec, experiment, player_models)

    def create_game_scorer(self, experiment, instance):
        return Scorer(self.game_name, experiment, instance)
"""

# two players of ours; the older loop, with a validation and counts of its own, and the older scorer
RIDDLE = """
from clemcore.clemgame import GameBenchmark, Player
from clemcore.clemgame.legacy.master import DialogueGameMaster
from clemcore.clemgame.legacy.scorer import GameScorer
from words import TAG


class Speaker(Player):
    def _custom_response(self, context):
        return TAG


class Master(DialogueGameMaster):
    def _on_setup(self, **instance):
        self.word, self.bad, self.won, self.said = instance["word"], False, False, 0
        for role in ("Giver", "Finder"):
            self.add_player(Speaker(self.player_models[len(self.get_players())], game_role=role))
        giver, finder = self.get_players()
        self.set_initial_prompt_for(finder, "Find the word.")
        self.set_context_for(giver, f"Hint at {self.word}.")

    def _validate_player_response(self, player, response):
        self.said += 1
        self.bad = not response.startswith(TAG)
        return not self.bad

    def _on_valid_player_response(self, player, parsed):
        giver, finder = self.get_players()
        self.won = player is finder and self.word in parsed
        self.set_context_for(finder if player is giver else giver, parsed)

    def _does_game_proceed(self):
        return not self.bad and not self.won and self.current_round < 2

    def _on_after_game(self):
        counts = {"Request Count": self.said, "Violated Request Count": int(self.bad)}
        counts |= {"Parsed Request Count": self.said - self.bad, "Aborted": int(self.bad)}
        for key, value in (counts | {"Lose": int(not self.bad and not self.won)}).items():
            self.log_key(key, value)


class Scorer(GameScorer):
    def score_turns(self, interactions):
        pass

    def log_main_score(self, interactions):
        scores = self.scores["episode scores"]
        self.log_episode_score("Main Score", float("nan") if scores["Aborted"] else 100 * scores["Success"])


class Benchmark(GameBenchmark):
    def create_game_master(self, experiment, player_models):
        return Master(self.game_spec, experiment, player_models)

    def create_game_scorer(self, experiment, instance):
        return Scorer(self.game_name, experiment, instance)
"""


def write(folder, name: str, master: str, tag: str, experiments: list[dict], **more):
    there = folder / name
    (there / "in").mkdir(parents=True)
    (there / "master.py").write_text(master, encoding="utf-8")
    (there / "words.py").write_text(f"TAG = {tag!r}\n", encoding="utf-8")
    spec = {"game_name": name, "players": 2, "image": "none", "languages": ["en"]} | more
    (there / "clemgame.json").write_text(json.dumps(spec), encoding="utf-8")
    (there / "in" / "instances.json").write_text(json.dumps({"experiments": experiments}), encoding="utf-8")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clembench")
    rows = [{"game_id": i, "top": 6, "level": "their own"} for i in range(12)]
    lottery = {"name": "dice", "prompt": "Bet on a die.", "rounds": 3, "game_instances": rows}
    few = lottery | {"name": "few", "rounds": 1, "game_instances": rows[:2]}
    write(folder, "lottery", LOTTERY, "BET:", [lottery, few], roles=["Bettor", "Dealer"])
    words = [{"game_id": i, "word": word} for i, word in enumerate(("snow", "rain", "wind", "hail"))]
    write(folder / "more", "riddle", RIDDLE, "SAY:", [{"name": "weather", "game_instances": words}])
    write(folder / "more", "pictures", RIDDLE, "SAY:", [], image="single")
    return folder


@pytest.fixture
def found(checkout, monkeypatch):
    monkeypatch.setattr(games, "_REGISTERED", {})
    return {name: games.make(name) for name in clembench.register(checkout)}


LOUD = """
import sys
from absl import logging
from playpen_jax.bridges import clembench
clembench.specs(sys.argv[1])
assert "clemcore" in sys.modules
logging.warning("still heard")
"""


def test_clemcore_does_not_silence_our_warnings(checkout):
    """Its import switches off the loggers that are there; in a process of its own, where it has not been imported yet."""
    done = subprocess.run([sys.executable, "-c", LOUD, checkout], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "still heard" in done.stderr, done.stderr[-2000:]


def start(game, number: int = 0, level: str | None = None):
    level = level or game.levels[0]
    file = {"clem:lottery": {"top": 6, "level": "their own"}, "clem:riddle": {"word": "snow"}}[game.name]
    return game.start({"game_id": number, **file}, game.settings(level, "full"))


def said(play, *replies: str):
    for reply in replies:
        play.reply(reply)
    return play


def test_the_text_games_of_a_folder_are_found(found, checkout):
    assert list(found) == ["clem:lottery", "clem:riddle"] and set(games.names()) >= set(found)
    lottery, riddle = found.values()
    assert lottery.roles == ("Bettor", "Dealer") and riddle.roles == ("Player 1", "Player 2")
    assert lottery.levels == ("dice", "few") and lottery.seats == riddle.seats == ("player_1", "player_2")
    assert clembench.register(checkout, ["riddle"]) == ["clem:riddle"]


def test_programmatic_players_answer_by_themselves(found):
    play = start(found["clem:lottery"])
    assert play.ask == games.Ask("player_1", "Bet on a die.\n\nup to 6")
    play.reply("BET: 0")
    assert play.ask.seat == "player_1" and play.ask.text.startswith("drawn: ") and play.ask.text.endswith(", heard 2")
    outcome = said(play, "BET: 0", "BET: 0").outcome
    assert (outcome.status, outcome.score, outcome.requests, outcome.metrics["Rounds"]) == ("lose", 0, 6, 3)


def test_the_game_says_what_a_reply_is_worth(found):
    aborted = said(start(found["clem:lottery"]), "BET: 0", "nothing").outcome
    assert aborted.status == "aborted" and math.isnan(aborted.score) and aborted.seat == "player_1"
    assert (aborted.requests, aborted.parsed, aborted.violated) == (3, 2, 1) and aborted.reason == "invalid format: no bet"
    lost = said(start(found["clem:lottery"]), "BET: 7").outcome
    assert (lost.status, lost.score, lost.violated, lost.seat) == ("lose", 0, 0, None)
    rounds = {said(start(found["clem:lottery"], n), *["BET: 4"]).outcome is not None for n in range(12)}
    assert rounds == {True, False}, "some win at once, most do not"


def test_a_game_of_the_older_kind(found):
    play = said(start(found["clem:riddle"]), "SAY: it is white")
    assert play.ask == games.Ask("player_2", "Find the word.\n\nSAY: it is white")
    said(play, "SAY: milk?", "SAY: cold", "SAY: snow!")
    assert play.outcome.status == "success" and play.outcome.score == 100 and play.outcome.requests == 4
    play = said(start(found["clem:riddle"]), "SAY: it is white", "snow")
    assert play.outcome.status == "aborted" and play.outcome.seat == "player_2" and play.outcome.violated == 1
    assert said(start(found["clem:riddle"]), *["SAY: hm"] * 4).outcome.official()["Lose"] == 1


def test_an_episode_is_a_function_of_instance_and_replies(found):
    game, outer = found["clem:lottery"], (random.getstate(), np.random.get_state()[1].tolist())
    plays = [start(game) for _ in range(3)]
    for _ in range(2):  # three side by side, none disturbs another
        for play in plays:
            play.reply("BET: 0")
        random.random()
        np.random.random()
    random.setstate(outer[0])
    assert len({repr(play.history) + repr(play.ask) for play in plays}) == 1
    fork = plays[0].fork()
    assert (fork.history, fork.ask) == (plays[0].history, plays[0].ask)
    other = said(start(game, 1), "BET: 0", "BET: 0")
    assert other.ask != plays[0].ask


def test_their_code_leaves_no_traces(found):
    before, path, state = set(sys.modules), list(sys.path), random.getstate()
    said(start(found["clem:lottery"]), "BET: 0")
    said(start(found["clem:riddle"]), "SAY: x")  # its file of words is another one of the same name
    assert sys.path == path and random.getstate() == state
    assert "words" not in sys.modules and {name for name in set(sys.modules) - before if "words" in name} == set()


def test_faults_in_their_code_end_the_episode(found):
    outcome = said(start(found["clem:lottery"]), "BET: high").outcome
    assert outcome.status == "aborted" and outcome.reason.startswith("the game's code fails: ValueError: invalid literal")
    with pytest.raises(InstanceError, match="game_id.*lottery cannot set up this one: TypeError"):
        found["clem:lottery"].start({"game_id": 1}, found["clem:lottery"].settings("dice", "full"))
    with pytest.raises(InstanceError, match="game_id.*missing"):
        found["clem:lottery"].start({}, {"name": "dice"})


def test_instances_are_shared_out_to_splits(found):
    game = found["clem:lottery"]
    parts = {split: {i["game_id"] for i in game.instances(split, 50, level="dice")} for split in SPLITS}
    assert sorted(map(len, parts.values())) == [1, 1, 10] and set().union(*parts.values()) == set(range(12))
    instance = game.instances("train", 1, level="dice")[0]
    assert instance["level"] == "dice" and instance["game_instance"]["level"] == "their own"
    assert said(game.start(instance), "BET: 7").outcome.status == "lose"
    with pytest.raises(ValueError, match="instances.json: experiment 'few' has only 2 instances, too few for the train split"):
        game.instances("train", 1, level="few")


@pytest.mark.parametrize("name, replies", [("lottery", ["BET: 0", "no"]), ("lottery", ["BET: 9"]), ("riddle", ["SAY: a"] * 4)])
def test_scores_are_those_of_their_own_loop(found, checkout, name, replies):
    from clemcore.clemgame import GameBenchmark, GameInteractionsRecorder
    from clemcore.clemgame.envs.pettingzoo.master import GameMasterEnv

    play = said(start(found[f"clem:{name}"]), *replies)
    benchmark = GameBenchmark.load_from_spec(clembench.specs(checkout)[name])
    with benchmark:
        env = GameMasterEnv(benchmark)
        env.reset(options={"experiment": play.settings, "game_instance": play.instance})
        record = GameInteractionsRecorder(name, "x", 0, "", {})
        env.game_master.register(record)
        left = list(replies)
        while not env.game_master.state.outcome.is_terminal and any(not done for done in env.terminations.values()):
            player = env.player_by_agent_id[env.agent_selection]
            mine = type(player).__name__ != "Dealer"
            env.step(left.pop(0) if mine else player(env.observe(env.agent_selection)))
        scorer = benchmark.create_game_scorer(play.settings, play.instance)
        scorer.compute_scores(record.interactions)
    assert left == [] and play.outcome is not None
    theirs, ours = scorer.scores["episode scores"], play.outcome.official()
    assert theirs and all(repr(float(theirs[key])) == repr(float(ours[key])) for key in theirs)


def test_a_config_file_trains_on_them(checkout, tmp_path, monkeypatch):
    monkeypatch.setattr(games, "_REGISTERED", {})
    file = tmp_path / "riddles.py"
    lines = [
        "from playpen_jax.bridges import clembench",
        "from playpen_jax.config import Config",
        f"clembench.register({str(checkout)!r})",
    ]
    file.write_text(
        "\n".join([*lines, "def config():", "    return Config(games=('clem:riddle',), players=())"]), encoding="utf-8"
    )
    config = configs.load(str(file))
    checks.check(config)
    jobs = draws.training_jobs(config, 0)
    assert len(jobs) == config.grpo.instances * config.grpo.plays
    assert {job.game.target(job.instance) for job in jobs} <= {f"weather/{number}" for number in range(4)}
    assert all(job.game.start(job.instance, job.settings, job.form).ask.seat == "player_1" for job in jobs[:4])


def test_a_game_is_found_by_its_name(checkout, tmp_path, monkeypatch):
    monkeypatch.setattr(games, "_REGISTERED", {})
    monkeypatch.setenv("CLEMBENCH_HOME", str(checkout))
    assert games.make("clem:riddle").levels == ("weather",) and "clem:riddle" not in games.names()
    with pytest.raises(KeyError, match="has no text game 'riddel': did you mean 'riddle'"):
        games.make("clem:riddel")
    monkeypatch.delenv("CLEMBENCH_HOME")
    with pytest.raises(ValueError, match="clem:other: set .CLEMBENCH_HOME to a clembench checkout"):
        games.make("clem:other")


def test_a_policy_plays_them_in_rollouts(checkout, toy_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(games, "_REGISTERED", {})
    monkeypatch.setenv("CLEMBENCH_HOME", str(checkout))
    few = ("--episodes=1", "--rows=2", "--context=256", "--max-tokens=8", "--max-turns=6")
    argv = [
        f"--checkpoint={toy_folder}",
        "--suite=clem:riddle,clem:lottery",
        f"--out={tmp_path}",
        *few,
    ]
    assert evaluate.main(argv) == 0
    episodes = [json.loads(line) for line in (tmp_path / "episodes.jsonl").read_text().splitlines()]
    assert [episode["game"] for episode in episodes] == ["clem:riddle", "clem:lottery"]
    # the toy does not know their tags
    assert all(episode["turns"][0]["reply"] and episode["outcome"]["status"] == "aborted" for episode in episodes)
    assert len(list(tmp_path.rglob("clem:riddle/weather/*/scores.json"))) == 1


@pytest.mark.parametrize(
    "change, problem",
    [
        (lambda folder: (folder / "lottery" / "clemgame.json").write_text("{"), "clemgame.json: Expecting"),
        (lambda folder: (folder / "lottery" / "clemgame.json").write_text('{"game_name": "a"}'), "clemgame.json: .*players"),
        (lambda folder: (folder / "lottery" / "clemgame.json").unlink(), "no text game with a clemgame.json below it"),
        (lambda folder: (folder / "lottery" / "in" / "instances.json").unlink(), "instances.json: .*FileNotFoundError"),
        (lambda folder: (folder / "lottery" / "in" / "instances.json").write_text("[]"), "instances.json: .*TypeError"),
    ],
)
def test_broken_folders(tmp_path, change, problem):
    write(tmp_path, "lottery", LOTTERY, "BET:", [{"name": "dice", "game_instances": [{"game_id": 1}]}])
    change(tmp_path)
    with pytest.raises(ValueError, match=problem):
        clembench.register(tmp_path)


def test_folders_and_games_that_are_not_there(checkout, tmp_path):
    with pytest.raises(ValueError, match="no such folder"):
        clembench.register(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="no text game taboo below it; there are lottery, riddle"):
        clembench.register(checkout, ["taboo"])
