"""Games to and from TextArena, PettingZoo and Gymnasium, with the real packages."""

from __future__ import annotations

import importlib.util
import itertools
import random

import numpy as np
import pytest

import games
from games.core import play_out
from playpen_jax import rewards
from playpen_jax.bridges import common

pytestmark = pytest.mark.filterwarnings("ignore")  # other people's packages
needs = lambda name: pytest.mark.skipif(importlib.util.find_spec(name) is None, reason=f"{name} is not installed")

# those that start with Python 3.11, without network and word lists; one name a game, whatever sizes and lengths it comes in
TEXTARENA = """2048 Alquerque Bandit Battleship Blackjack Breakthrough Briscola Chopsticks ColonelBlotto ConnectFour
Countdown Crosswords Crusade Cryptarithm FifteenPuzzle FrozenLake GameOfPureStrategy GermanWhist Golf
GuessTheNumber HighSociety IndianPoker IteratedMatchingPennies IteratedPrisonersDilemma
IteratedRockPaperScissors IteratedTwoThirdsAverage IteratedUltimatumGame KuhnPoker LiarsDice LightsOut
LinesOfAction LogicPuzzle MarketEntryGame Mastermind MemoryGame Minesweeper NewRecruit Nim Othello PegJump
PigDice Poker PublicGoodsGame QuantumTicTacToe RushHour SantoriniBaseFixed SecretMafia Secretary Set
SettlersOfCatan SimpleBlindAuction SimpleNegotiation SimpleTak Slitherlink Snake Sokoban SpiteAndMalice
Stratego Sudoku Surround Taboo Tak ThreeCardMonte ThreePlayerGOPS ThreePlayerIPD ThreePlayerTicTacToe
TicTacToe TowerOfHanoi TruthAndDeception TwoDollar UltimateTicTacToe WildTicTacToe""".split()
FEW = ("Nim", "TicTacToe", "IteratedPrisonersDilemma", "PigDice", "Secretary")


def seated(game, kind: str = "scripted") -> dict:
    return {seat: (game.players[seat][kind], 1.0) for seat in (*game.seats, *game.chance)}


def trace(play) -> str:
    return repr((play.history, play.outcome))


# --- TextArena's games as ours


def ended(name: str):
    """An episode to its end, played twice; the second time the global generators stand elsewhere, and are left alone."""
    game = games.make(f"textarena:{name}-v0")
    instance = game.instances("train", 1, seed=3)[0]
    first = play_out(game.start(instance), seated(game))
    random.seed(99)
    np.random.seed(99)
    states = random.getstate(), np.random.get_state()[1].tolist()
    assert trace(play_out(game.start(instance), seated(game))) == trace(first)
    assert (random.getstate(), np.random.get_state()[1].tolist()) == states
    assert first.outcome is not None and len(first.history) == first.outcome.requests
    return first


@needs("textarena")
@pytest.mark.parametrize("name", FEW)
def test_some_games_of_textarena(name):
    play = ended(name)
    assert "no end" not in play.outcome.reason and play.outcome.status in ("success", "lose", "aborted")


@needs("textarena")
@pytest.mark.slow
def test_sixty_games_of_textarena_play_to_their_end():
    """By their own rules: a win, a loss, a draw or their own limit of turns, not by ours nor by a move that is not allowed."""
    found = {name: ended(name).outcome for name in TEXTARENA}
    odd = {name: o.reason for name, o in found.items() if o.status == "aborted" or "no end" in o.reason}
    print(f"{len(found) - len(odd)} of {len(found)} end by their rules; the others: {odd}")
    assert len(set(found) - set(odd)) >= 60


@needs("textarena")
def test_episodes_of_textarena_do_not_disturb_each_other():
    game = games.make("textarena:PigDice-v0")
    instances = game.instances("train", 2, seed=1)
    alone = [trace(play_out(game.start(instance), seated(game))) for instance in instances]
    plays = [game.start(instance) for instance in instances]
    while any(play.ask for play in plays):
        for play in plays:
            if play.ask:
                seat = play.ask.seat
                play.reply(game.players[seat]["scripted"](play.view(seat, 0)))
    assert [trace(play) for play in plays] == alone and alone[0] != alone[1]


@needs("textarena")
def test_a_game_of_textarena_by_hand():
    game = games.make("textarena:Nim-v0")
    assert game.seats == ("player_0", "player_1") and games.make("textarena:Nim-v0") is game
    play = game.start({"seed": 1, "max_turns": 50})
    assert "[pile quantity]" in play.ask.text and "[0 3]" not in play.fork().ask.text.split("e.g.")[0]
    for reply in ("[0 3]", "1 4", "[2 5]"):
        play.reply(reply)
    assert play.outcome.status == "success" and play.outcome.score == 100
    assert play.outcome.metrics == {"Reward player_0": 1.0, "Reward player_1": -1.0}
    lost = game.start({"seed": 1, "max_turns": 50})
    for reply in ("[0 2]", "nothing", "still nothing"):
        lost.reply(reply)
    assert lost.outcome.status == "aborted" and lost.outcome.seat == "player_1"
    cut = game.start({"seed": 1, "max_turns": 1})
    cut.reply("[0 1]")
    assert cut.outcome.reason == "no end after 1 turns" and cut.outcome.status == "lose"


@needs("textarena")
def test_what_textarena_cannot_start_is_said_in_one_line():
    with pytest.raises(KeyError, match="did you mean 'Nim-v0'"):
        games.make("textarena:Nimm-v0")
    from textarena.envs.registration import ENV_REGISTRY, register

    register("Nowhere-v0-raw", "textarena.envs.Nowhere.env:NowhereEnv")
    with pytest.raises(ValueError, match="textarena:Nowhere-v0 cannot start here: ImportError: ") as error:
        games.make("textarena:Nowhere-v0")
    assert "\n" not in str(error.value) and ENV_REGISTRY.pop("Nowhere-v0-raw")


# --- rewards and chance


@pytest.mark.parametrize(
    "rewards, status, score",
    [
        ({"a": 1.0}, "success", 100),
        ({"a": 0.25}, "lose", 25),
        ({"a": -1.0}, "lose", 0),
        ({"a": 1.0, "b": -1.0}, "success", 100),
        ({"a": 0.0, "b": 0.0}, "lose", 50),
        ({"a": 0.5, "b": 0.7}, "lose", 75),
        ({"a": -3.0, "b": 3.0}, "lose", 0),
    ],
)
def test_outcomes_are_made_of_rewards(rewards, status, score):
    found = common.outcome(rewards, 4, "a\nreason")
    assert (found.status, found.score, found.reason, found.requests) == (status, score, "a reason", 4)
    assert common.outcome(rewards, 4, "", "a").status == "aborted"


def test_chance_is_kept_apart():
    random.seed(5)
    np.random.seed(5)
    wanted = random.random(), np.random.random()
    first, second = common.Chance(1), common.Chance(1)
    random.seed(5)
    np.random.seed(5)
    drawn = []
    for chance in (first, second, first, second):
        with chance.drawn():
            drawn.append((random.random(), np.random.random()))
    assert drawn[:1] + drawn[2:3] == drawn[1:2] + drawn[3:] and drawn[0] != drawn[2]
    assert (random.random(), np.random.random()) == wanted


# --- our games as theirs


def scripted_reply(play) -> str:
    return games.make(play.game.name).players[play.ask.seat]["scripted"](play.view(play.ask.seat, 0))


@needs("textarena")
@pytest.mark.parametrize("name, free", [("wordle", 1), ("taboo", 2), ("codenames", 2)])
def test_our_games_under_textarena(name, free):
    import textarena as ta
    from textarena.wrappers import LLMObservationWrapper

    from playpen_jax.bridges.textarena import environment

    inner = environment(name)
    env = LLMObservationWrapper(env=inner)
    with pytest.raises(ValueError, match="free seats"):
        env.reset(num_players=free + 1, seed=2)
    env.reset(num_players=free, seed=2)
    done, told = False, []
    while not done:
        player, text = env.get_observation()
        assert text.rstrip().endswith(inner.play.ask.text.rstrip())
        told.append(player)
        done, info = env.step(action=scripted_reply(inner.play))
    given, about = env.close()
    assert isinstance(env, ta.Wrapper) and set(told) == set(range(free)) == set(given)
    assert given[0] == rewards.score(inner.play.outcome, "") and about[0]["reason"] == inner.play.outcome.reason


@needs("textarena")
def test_a_reply_that_breaks_our_rules_is_an_invalid_move_of_textarena():
    from playpen_jax.bridges.textarena import environment

    env = environment("taboo", reward="penalty", partners={"guesser": "scripted"})
    env.reset(num_players=1, seed=1)
    env.get_observation()
    assert env.step(action="no clue")[0] is True
    assert env.close()[1][0]["invalid_move"] is True and env.close()[0] == {0: -rewards.ABORT_PENALTY}


@needs("pettingzoo")
@pytest.mark.parametrize("name", ["wordle", "taboo"])
def test_our_games_keep_the_protocol_of_pettingzoo(name):
    """Its `api_test` asks observations for the dtype of an array, which texts do not have; what else it asks is here."""
    from pettingzoo.test import seed_test

    from playpen_jax.bridges.pettingzoo import environment

    seed_test(lambda: environment(name), num_cycles=20)
    env = environment(name)
    for seed in range(3):
        env.reset(seed=seed)
        assert env.agents == env.possible_agents == list(games.make(name).seats)
        for agent in env.agent_iter(200):
            text, reward, terminated, truncated, info = env.last()
            assert env.observation_space(agent).contains(text) and set(env.rewards) == set(env.infos) == set(env.agents)
            assert not truncated and isinstance(reward, float) and (terminated or not info)
            env.step(None if terminated else env.action_space(agent).sample())
        assert env.agents == []


@needs("pettingzoo")
def test_a_game_of_ours_under_pettingzoo():
    from playpen_jax.bridges.pettingzoo import environment

    env = environment("codenames")
    env.reset(seed=4)
    total = dict.fromkeys(env.possible_agents, 0.0)
    for agent in env.agent_iter():
        text, reward, terminated, truncated, info = env.last()
        total[agent] += reward
        assert terminated or text == env.play.ask.text
        env.step(None if terminated or truncated else scripted_reply(env.play))
    assert total == {seat: rewards.score(info["outcome"], seat) for seat in ("cluegiver", "guesser")}
    assert info["outcome"] is env.play.outcome and env.agents == []


@needs("pettingzoo")
def test_there_and_back_again():
    """A game of ours, as PettingZoo's, as a game: the same messages, and the reward is its score."""
    from playpen_jax.bridges import pettingzoo as bridge

    ours = games.make("taboo")
    both = bridge.text_game("again", lambda: bridge.environment("taboo", reward="success"))
    assert both.seats == ours.seats
    for seed in range(5):
        play = both.start({"seed": seed, "max_turns": 100})
        other = ours.start(ours.instances("train", 1, seed)[0])
        while other.ask is not None:
            assert (play.ask.seat, play.ask.text) == (other.ask.seat, other.ask.text)
            reply = scripted_reply(other)
            play.reply(reply)
            other.reply(reply)
        assert (play.outcome.status == "success") == (other.outcome.status == "success")
        assert play.outcome.metrics == {f"Reward {seat}": float(other.outcome.status == "success") for seat in ours.seats}


def walk(reply: str) -> int:
    moves = {"left": 0, "down": 1, "right": 2, "up": 3}
    if reply not in moves:
        raise ValueError(f"{reply[:20]!r} is none of {', '.join(moves)}")
    return moves[reply]


def lake():
    import gymnasium

    from playpen_jax.bridges.gymnasium import text_game

    make = lambda: gymnasium.make("FrozenLake-v1", is_slippery=False, render_mode="ansi")
    return text_game("lake", make, lambda env, observation: env.render(), walk)


@needs("gymnasium")
def test_an_environment_of_gymnasium_as_a_game():
    game = lake()
    instance = game.instances("test", 1)[0]
    play = game.start(instance)
    assert "FFF" in play.ask.text
    for reply in "down down right right down right".split():
        play.reply(reply)
    assert play.outcome.status == "success" and play.outcome.score == 100 and play.outcome.requests == 6
    drowned = game.start(instance)
    for reply in ("right", "down"):
        drowned.reply(reply)
    assert drowned.outcome.status == "lose" and drowned.outcome.score == 0
    wrong = game.start(instance)
    wrong.reply("swim")
    assert wrong.outcome.status == "aborted" and "swim" in wrong.outcome.reason and wrong.outcome.seat == "agent"


@needs("gymnasium")
def test_an_environment_of_gymnasium_in_a_rollout(toy, toy_chat):
    from playpen_jax.rollout import Job, Limits, Rollout
    from playpen_jax.sampler.sample import Sampling
    from playpen_jax.sampler.sampler import Sampler
    from tests import toys

    sampler = Sampler(toy[0], toys.ROWS, toys.CONTEXT, Sampling(1.0), toy_chat.stops)
    sampler.load(toy[1])
    game = lake()
    jobs = [Job(game, instance, {"agent": "learner"}) for instance in game.instances("train", 3)]
    episodes = Rollout({"learner": sampler}, toy_chat, Limits(8, 10)).play(jobs)
    assert [episode.game for episode in episodes] == ["lake"] * 3 and all(episode.rows for episode in episodes)


@needs("gymnasium")
def test_one_seat_of_ours_under_gymnasium():
    from gymnasium.utils.env_checker import check_env

    from playpen_jax.bridges.gymnasium import environment

    env = environment("taboo", seat="guesser")
    check_env(env, skip_render_check=True)
    for seed in range(3):
        text, _ = env.reset(seed=seed)
        for turns in itertools.count(1):
            assert text == env.play.ask.text and env.play.ask.seat == "guesser"
            text, reward, ended, cut, info = env.step(scripted_reply(env.play))
            if ended:
                break
            assert reward == 0 and not cut and turns < 10
        assert reward == rewards.score(info["outcome"], "guesser") and text == ""
    with pytest.raises(ValueError, match="no seat 'judge'"):
        environment("taboo", seat="judge")
    given = games.make("taboo").instances("test", 1)[0]
    assert env.reset(options={"instance": given})[0] == env.play.ask.text and env.play.instance is given
