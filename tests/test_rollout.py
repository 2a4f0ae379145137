"""Rollouts: the same episodes in any order, company, row and chunk; token rows that hold what was said and shown."""

from __future__ import annotations

import dataclasses
import json
import math
from functools import cache

import jax
import numpy as np
import pytest

import games
from games.core import Ask, Game, Outcome, lesson
from playpen_jax import checks, draws, metrics, model, players
from playpen_jax import config as configs
from playpen_jax.chat import ByteTokenizer, Chat
from playpen_jax.data.pack import Weighted, pack, pieces
from playpen_jax.losses.tokens import token_logps
from playpen_jax.rollout import Job, Limits, Past, Rollout, replayed, token_key
from playpen_jax.sampler.sample import Sampling
from playpen_jax.sampler.sampler import Reply, Sampler
from playpen_jax.state import Batch
from playpen_jax.types import Episode, TokenRow, Turn, episode_from_json
from tests.test_sampler import whole
from tests.toys import CHATTER, CONTEXT, ROWS, weights

SMALL = ("wordle", "taboo", "guesswhat")
LIMITS = Limits(max_tokens=12, max_turns=20)
SELF = {"left": "learner", "right": "learner"}


@cache
def _sampler(c: model.ModelConfig, stops: tuple[int, ...], chunk: int, number: int) -> Sampler:
    return Sampler(c, ROWS, CONTEXT, Sampling(1.0), stops, chunk)


@pytest.fixture
def make(toy, toy_chat):
    """Rollouts of policies (name -> weights; the toy's own as "learner"), with samplers that are made once."""

    def made(limits: Limits = LIMITS, chunk: int = 4, **others: model.Params) -> Rollout:
        samplers = {}
        for number, (name, params) in enumerate({"learner": toy[1], **others}.items()):
            samplers[name] = _sampler(toy[0], toy_chat.stops, chunk, number)
            for row in set(range(ROWS)) - set(samplers[name]._free):  # what a failed test left behind
                samplers[name].drop(row)
            samplers[name].load(params)
        return Rollout(samplers, toy_chat, limits)

    return made


def chatter_jobs(count: int = 7, turns: int = 3, seats: dict[str, str] = SELF) -> list[Job]:
    return [Job(CHATTER, {"topic": f"topic {i}", "turns": turns}, seats, i % 2, f"s/{i}") for i in range(count)]


def small_jobs(default: str = "learner", **seats: str) -> list[Job]:
    """Two instances of each small game; `default` plays the seats that are not named."""
    jobs = []
    for name in SMALL:
        game = games.make(name)
        cast = players.seating(game, {seat: spec for seat, spec in seats.items() if seat in game.seats}, default)
        jobs += [Job(game, instance, cast, 0, f"0/{name}", "short") for instance in game.instances("train", 2)]
    return jobs


def transcript(episode: Episode) -> dict:
    """Everything about an episode but the time it took."""
    rows = {seat: [x.tolist() for x in (row.ids, row.mask)] for seat, row in episode.rows.items()}
    return json.loads(json.dumps(episode.to_json())) | {"rows": rows}


def transcripts(episodes: list[Episode]) -> list[dict]:
    return [transcript(episode) for episode in episodes]


# ---------------------------------------------------------------------------------------------- the same episodes


def test_the_same_seed_gives_the_same_episodes_and_another_one_others(make):
    jobs = chatter_jobs() + small_jobs()
    first, again = (transcripts(make().play(jobs)) for _ in range(2))
    assert first == again
    other = transcripts(make().play([dataclasses.replace(job, seed=job.seed + "x") for job in jobs]))
    assert [a["turns"] == b["turns"] for a, b in zip(first, other)].count(True) <= 2, "a one-token reply may come twice"
    assert len({json.dumps(each["turns"]) for each in first[:7]}) == 7


def test_an_episode_does_not_depend_on_order_company_rows_or_chunk(make):
    jobs = [*chatter_jobs(), *small_jobs()]
    together = transcripts(make().play(jobs))
    assert transcripts(make().play(jobs[::-1]))[::-1] == together
    assert transcripts(make(chunk=3).play(jobs)) == together
    for i in (0, 3, 7, 12):
        assert transcripts(make().play([jobs[i]])) == [together[i]], "alone"
    fewer = make()
    held = [fewer.samplers["learner"].take() for _ in range(ROWS - 2)]
    assert transcripts(fewer.play(jobs)) == together, "in two rows"
    for row in held:
        fewer.samplers["learner"].drop(row)


def test_samples_of_one_instance_differ_and_turns_draw_anew(make):
    job = chatter_jobs(1)[0]
    episodes = make().play([dataclasses.replace(job, sample=n) for n in range(6)])
    assert len({json.dumps([turn.reply for turn in episode.turns]) for episode in episodes}) == 6
    assert [episode.sample for episode in episodes] == list(range(6))
    keys = {
        token_key(*where)
        for where in [("0", 0, "a", 0), ("0", 0, "a", 1), ("0", 1, "a", 0), ("0", 0, "b", 0), ("1", 0, "a", 0)]
    }
    assert len(keys) == 5


def test_more_jobs_than_rows_are_refilled_and_reported_as_they_end(make):
    rollout, heard = make(), []
    episodes = rollout.play(iter(chatter_jobs(11)), heard.append)
    assert [episode.instance["topic"] for episode in episodes] == [f"topic {i}" for i in range(11)], "in the order of the jobs"
    assert sorted(map(id, heard)) == sorted(map(id, episodes))
    assert rollout.samplers["learner"].free == ROWS and not rollout.samplers["learner"].busy
    assert make().play([]) == []


def test_free_rows_are_taken_up_at_once(make):
    """Two short dialogues and one long: if rows waited for the longest, the steps would add up."""
    long, *short = (
        Job(CHATTER, {"topic": "t", "turns": n}, {"left": "learner", "right": "scripted"}, 0, str(n)) for n in (12, 1, 2, 3)
    )
    steps = []
    for jobs in ([long], [long, *short]):
        rollout = make()
        rollout.play(jobs)
        steps.append(rollout.samplers["learner"].counters.steps)
    assert steps[1] < 1.5 * steps[0]


# ---------------------------------------------------------------------------------------------- who plays


def test_two_policies_with_weights_of_their_own(make, toy, toy_chat):
    frozen = weights(toy[0], toy_chat.end, seed=5)
    jobs = chatter_jobs(5, seats={"left": "learner", "right": "frozen"})
    episodes = make(frozen=frozen).play(jobs)
    for episode in episodes:
        assert [turn.player for turn in episode.turns] == ["learner", "frozen"] * 3
        assert set(episode.rows) == {"left", "right"}
        for seat, params in (("left", toy[1]), ("right", frozen)):
            assert_logps(toy[0], params, episode.rows[seat])
    with pytest.raises(AssertionError):
        assert_logps(toy[0], frozen, episodes[0].rows["left"])
    other = make(frozen=weights(toy[0], toy_chat.end, seed=6)).play(jobs)
    assert [a.turns[0] == b.turns[0] for a, b in zip(episodes, other)] == [True] * 5, "the learner opens as before"
    assert transcripts(other) != transcripts(episodes)


def assert_logps(c: model.ModelConfig, params: model.Params, row: TokenRow) -> None:
    """The log-probabilities of a row are those of a whole pass with these weights."""
    logps = jax.nn.log_softmax(whole(c, params, row.ids.tolist()))
    places = np.flatnonzero(row.mask)
    np.testing.assert_allclose(row.logps[places], logps[places - 1, row.ids[places]], atol=1e-4)
    np.testing.assert_allclose(row.logps, row.sampled_logps, atol=1e-5)


def test_policies_with_tokenizers_of_their_own(make, toy, toy_chat):
    class Shifted(ByteTokenizer):
        """Bytes, from the other end."""

        def encode(self, text):
            return [255 - i for i in super().encode(text)]

        def decode(self, ids):
            return super().decode([255 - i for i in ids if i < 256])

    base = make(other=toy[1])
    rollout = Rollout(base.samplers, {"learner": toy_chat, "other": Chat(Shifted())}, LIMITS)
    for episode in rollout.play(chatter_jobs(2, 1, {"left": "learner", "right": "other"})):
        assert_row_holds(episode, "left", toy_chat)
        assert_row_holds(episode, "right", Chat(Shifted()))


def test_scripted_seats_answer_without_the_device():
    jobs = small_jobs("scripted") + chatter_jobs(3, seats={"left": "scripted", "right": "random"})
    episodes = Rollout({}, {}, Limits(1, 100)).play(jobs)
    assert all(episode.rows == {} and episode.stop == "end" for episode in episodes)
    assert {turn.player for episode in episodes for turn in episode.turns} == {"scripted", "random"}
    assert [episode.outcome.status for episode in episodes[:6]].count("success") >= 5
    assert transcripts(Rollout({}, {}, Limits(1, 100)).play(jobs[::-1]))[::-1] == transcripts(episodes)


def test_a_learner_beside_scripted_players(make):
    episodes = make().play(small_jobs(describer="scripted", answerer="scripted"))
    assert all(list(episode.rows) == ["guesser"] for episode in episodes)
    taboo = episodes[2]
    assert [(turn.seat, turn.player) for turn in taboo.turns[:2]] == [("describer", "scripted"), ("guesser", "learner")]
    assert [turn.stop == "text" for turn in taboo.turns[:2]] == [True, False]
    assert {turn.stop for episode in episodes for turn in episode.turns if turn.player == "learner"} <= {"stop", "length"}


def test_the_chance_seat_of_codenames_draws():
    game = games.make("codenames")
    instances = game.instances("train", 3, level="opponent_easy")
    jobs = [Job(game, i, players.seating(game, {}, "scripted"), 0, str(n), "short") for n, i in enumerate(instances)]
    episodes = Rollout({}, {}, Limits(1, 100)).play(jobs)
    drawn = [turn for episode in episodes for turn in episode.turns if turn.seat == "opponent"]
    assert drawn and all(turn.player == "scripted" for turn in drawn)
    assert transcripts(Rollout({}, {}, Limits(1, 100)).play(jobs)) == transcripts(episodes)
    for job, episode in zip(jobs, episodes):
        assert replayed(job, episode).fork().outcome == episode.outcome


def test_more_policy_seats_than_rows_cannot_be_seated(make):
    trio = dataclasses.replace(CHATTER, seats=("left", "right", "a", "b", "c"))
    job = Job(trio, {"topic": "t", "turns": 1}, dict.fromkeys(trio.seats, "learner"))
    with pytest.raises(ValueError, match="chatter seats 5 policies, more than there are rows"):
        make().play([job])


def test_the_referee_is_rebuilt_from_the_replies(make):
    jobs = chatter_jobs(2) + small_jobs()
    for job, episode in zip(jobs, make().play(jobs)):
        play = replayed(job, episode)
        assert [(ask.seat, ask.text, reply) for ask, reply in play.history] == [
            (turn.seat, turn.message, turn.reply) for turn in episode.turns
        ]
        assert repr(play.fork().outcome) == repr(episode.outcome)  # NaN is equal to itself in words
    (job,) = chatter_jobs(1, 9)
    (cut,) = make(Limits(12, 4)).play([job])
    play = replayed(job, cut)
    assert play.ask is None and play.outcome is cut.outcome and play.fork().outcome is None


# ---------------------------------------------------------------------------------------------- tokens


def assert_row_holds(episode: Episode, seat: str, chat: Chat) -> None:
    """The row reads as the seat's dialogue: sampled ids are its replies, all others what it was shown."""
    row = episode.rows[seat]
    turns = [turn for turn in episode.turns if turn.seat == seat]
    at = 0
    for i, turn in enumerate(turns):
        closed = i > 0 and turns[i - 1].stop == "stop"
        shown = chat.bridge(turn.message, closed) if i else chat.opening(turn.message)
        assert row.ids[at : at + len(shown)].tolist() == shown and not row.mask[at : at + len(shown)].any()
        at += len(shown)
        end = at + (int(np.argmin(row.mask[at:])) if not row.mask[at:].all() else len(row.mask) - at)
        assert chat.text(row.ids[at:end]) == turn.reply
        assert (row.ids[end - 1] in chat.stops) == (turn.stop == "stop")
        at = end
    assert at == len(row.ids) == len(row.logps)
    assert (row.logps[row.mask] < 0).all() and not row.logps[~row.mask].any()


def test_rows_read_as_what_was_said_and_shown(make, toy, toy_chat):
    episodes = make().play(chatter_jobs() + small_jobs())
    stops = set()
    for episode in episodes:
        spoke = {turn.seat for turn in episode.turns if turn.player == "learner"}
        assert set(episode.rows) == spoke
        for seat in spoke:
            assert_row_holds(episode, seat, toy_chat)
        stops |= {turn.stop for turn in episode.turns}
    assert_logps(*toy, episodes[0].rows["right"])
    assert stops == {"stop", "length"}


def test_what_is_asked_aside_is_seen_there_alone(make, toy, toy_chat):
    """The log-probabilities of each reply are those after its history without asides, played and in one pass over the row."""
    game = games.make("privateshared")
    free = dataclasses.replace(game, referee=quiz)
    rollout = make(Limits(6, 20))
    jobs = [Job(free, instance, {"answerer": "learner"}, 0, "s", "short") for instance in game.instances("train", 2)]
    episodes = rollout.play(jobs)
    assert transcripts(rollout.play(jobs[::-1]))[::-1] == transcripts(episodes)
    for job, episode in zip(jobs, episodes):
        row = episode.rows["answerer"]
        assert row.branches.max() == 3 and [turn.aside for turn in episode.turns] == [True, True, False, True]
        assert_logps_apart(*toy, row)
        batch, _ = pack([Weighted(row)], 256)
        logps = packed_logps(*toy, batch)[0, : len(row.ids)]
        np.testing.assert_allclose(np.where(row.mask, logps, 0), row.logps, atol=1e-4)
        messages = lesson(replayed(job, episode).history, "answerer")
        if all(turn.stop == "stop" for turn in episode.turns):
            assert toy_chat.tree(messages)[0].tolist() == row.ids.tolist()
        (again,) = rollout.play([dataclasses.replace(job, past=Past.of(episode, 3))])
        assert transcript(again) == transcript(episode), "from a fork"


def quiz(instance, settings):
    """Two questions aside, one to remember, one aside."""
    yield Ask("answerer", "What?", True, (("You know things.", "Ok."),))
    yield Ask("answerer", "Sure?", True)
    reply = yield Ask("answerer", "And?")
    yield Ask("answerer", reply, True)
    return Outcome("success", 100, 4, 4, 0)


def assert_logps_apart(c: model.ModelConfig, params: model.Params, row: TokenRow) -> None:
    """Each branch with the history before it, in a row of its own."""
    for piece in pieces(Weighted(row), 0, alone=True):
        if piece.row.mask.any():
            assert piece.row.branches is None
            assert_logps(c, params, piece.row)


def packed_logps(c: model.ModelConfig, params: model.Params, batch: Batch) -> np.ndarray:
    return np.asarray(token_logps(c, params, batch)[0])


class Dictated:
    """A sampler that says what it is told, row by row, and notes what it was fed."""

    rows = free = 1
    context = 200

    def __init__(self, replies: list[tuple[list[int], str]]):
        self.replies, self.fed, self.busy = replies, [], False

    def take(self) -> int:
        return 0

    def drop(self, row: int) -> None:
        pass

    def feed(self, row: int, ids: list[int], key: tuple[int, int], max_tokens: int) -> None:
        self.fed.append((ids, max_tokens))
        self.busy = True

    def run(self) -> list[Reply]:
        ids, stop = self.replies[len(self.fed) - 1]
        self.busy = False
        return [Reply(0, ids, [-1.0] * len(ids), [-0.5] * len(ids), stop)]


def test_sampled_ids_are_kept_and_a_cut_reply_is_closed_unsampled():
    chat = Chat(ByteTokenizer())
    user, assistant, eos = 259, 260, 258
    odd = [104, 259, 0xC3, 0xA9]  # an encoder would never give these: a special token inside, which has no text
    sampler = Dictated([(odd, "length"), ([105, eos], "stop"), ([0xFF, 33], "length")])
    job = Job(CHATTER, {"topic": "t", "turns": 3}, {"left": "learner", "right": "scripted"})
    (episode,) = Rollout({"learner": sampler}, chat, Limits(9, 20)).play([job])
    mine = [turn for turn in episode.turns if turn.seat == "left"]
    assert [turn.reply for turn in mine] == ["hé", "i", "\ufffd!"]
    (first, *_), (second, *_), (third, *_) = sampler.fed
    assert first == chat.opening("0 t")
    assert second == [eos, user, *chat.tokenizer.encode(mine[1].message), assistant]
    assert third == [user, *chat.tokenizer.encode(mine[2].message), assistant]
    row = episode.rows["left"]
    assert row.ids.tolist() == [*first, *odd, *second, 105, eos, *third, 0xFF, 33]
    sampled = (
        [len(first) + i for i in range(4)]
        + [len(first) + 4 + len(second) + i for i in range(2)]
        + [len(row.ids) - 2, len(row.ids) - 1]
    )
    assert np.flatnonzero(row.mask).tolist() == sampled
    assert row.logps[row.mask].tolist() == [-1.0] * 8 and row.sampled_logps[row.mask].tolist() == [-0.5] * 8
    assert [limit for _, limit in sampler.fed] == [9, 9, 9]


# ---------------------------------------------------------------------------------------------- limits


def test_too_many_turns_stop_an_episode(make):
    for limit, seats in ((3, SELF), (4, {"left": "scripted", "right": "scripted"})):
        (episode,) = make(Limits(12, limit)).play(chatter_jobs(1, 50, seats))
        assert episode.stop == "turns" and len(episode.turns) == limit
        assert episode.outcome.status == "aborted" and math.isnan(episode.outcome.score) and episode.score == 0
        assert episode.outcome.reason == f"more than {limit} turns"
        assert episode.outcome.requests == episode.outcome.parsed == limit and episode.outcome.violated == 0
    (episode,) = make(Limits(12, 6)).play(chatter_jobs(1, 3))
    assert episode.stop == "end" and len(episode.turns) == 6, "the last allowed turn may end it"


def test_a_full_context_stops_an_episode(make, toy_chat):
    (episode,) = make(Limits(12, 1000)).play(chatter_jobs(1, 200, {"left": "learner", "right": "scripted"}))
    assert episode.stop == "context" and episode.outcome.status == "aborted"
    assert episode.outcome.reason == f"more than {CONTEXT} tokens" and episode.outcome.seat == "left"
    row = episode.rows["left"]
    assert CONTEXT - 40 < len(row.ids) <= CONTEXT
    assert_row_holds(episode, "left", toy_chat)


def test_a_reply_may_take_what_is_left_of_the_context():
    chat, room = Chat(ByteTokenizer()), 3
    sampler = Dictated([([97] * room, "length"), ([97], "length")])
    topic = "x" * (sampler.context - len(chat.opening("0 ")) - room)
    job = Job(CHATTER, {"topic": topic, "turns": 2}, {"left": "learner", "right": "scripted"})
    (episode,) = Rollout({"learner": sampler}, chat, Limits(9, 20)).play([job])
    assert [limit for _, limit in sampler.fed] == [room]
    assert episode.stop == "context" and len(episode.rows["left"].ids) == sampler.context
    topic += "x" * room
    (episode,) = Rollout({"learner": sampler}, chat, Limits(9, 20)).play(
        [dataclasses.replace(job, instance={"topic": topic, "turns": 2})]
    )
    assert episode.stop == "context" and episode.turns == () and episode.rows == {}


def test_huge_odd_replies_are_played_like_any_other(make):
    """100,000 characters that no model would say, to a policy, and between scripted players."""
    shouted = make().play(chatter_jobs(2, 2, {"left": "broken", "right": "learner"}))
    assert [episode.stop for episode in shouted] == ["context"] * 2
    assert all(len(episode.turns[0].reply) >= 100_000 for episode in shouted)
    (loud,) = make().play(chatter_jobs(1, 2, {"left": "broken", "right": "broken"}))
    assert loud.stop == "end" and loud.outcome.status == "success"
    json.dumps(loud.to_json()).encode("utf-8")


@pytest.mark.parametrize("name", [*SMALL, "codenames"])
def test_huge_odd_replies_in_real_games_are_violations(name):
    game = games.make(name)
    loud = {seat: {**known, "loud": CHATTER.players["left"]["broken"]} for seat, known in game.players.items()}
    game = dataclasses.replace(game, players=loud)
    instance = game.instances("train", 1)[0]
    for seat in game.seats:
        cast = players.seating(game, {seat: "loud"}, "scripted")
        (episode,) = Rollout({}, {}, Limits(1, 100)).play([Job(game, instance, cast, form="short")])
        assert episode.stop == "end" and episode.outcome.status != "success"
        assert any(len(turn.reply) >= 100_000 for turn in episode.turns)


# ---------------------------------------------------------------------------------------------- faults


def test_an_exception_in_an_engine_drops_that_episode_alone(make, capsys):
    """A game that fails at its start, one in the middle, and one whose scripted player fails, among others."""

    def at_once(instance, settings):
        raise OSError("no such board")
        yield

    def in_the_middle(instance, settings):
        yield Ask("left", "one")
        raise ZeroDivisionError("nobody left")

    def mute(view):
        raise KeyError("tongue")

    early, late = (dataclasses.replace(CHATTER, referee=referee) for referee in (at_once, in_the_middle))
    silent = dataclasses.replace(CHATTER, players={seat: {"mute": mute} for seat in CHATTER.seats})
    topic, partner = {"topic": "t", "turns": 2}, {"left": "learner", "right": "mute"}
    bad = [Job(early, topic, SELF), Job(late, topic, SELF), Job(silent, topic, partner)]
    good = chatter_jobs(4)
    rollout = make()
    episodes = rollout.play([good[0], bad[0], good[1], bad[1], good[2], bad[2], good[3]])
    assert transcripts(episodes[::2]) == transcripts(make().play(good))
    for episode, why in zip(episodes[1::2], ("OSError: no such board", "ZeroDivisionError: nobody left", "KeyError: 'tongue'")):
        assert (
            episode.failed
            and not episode.rows
            and why in episode.outcome.reason
            and "test_rollout.py" in episode.outcome.reason
        )
    assert [len(episode.turns) for episode in episodes[1::2]] == [0, 1, 1]
    assert capsys.readouterr().err.count("dropped: ") == 3
    assert rollout.samplers["learner"].free == ROWS
    found = metrics.episode_metrics(episodes)
    assert found["stops/error"] == pytest.approx(3 / 7) and found["games/chatter/success"] == 1
    assert metrics.episode_metrics(episodes[1::2]) == {"stops/error": 1, "stops/partner": 0}


# ---------------------------------------------------------------------------------------------- records


def test_records_refuse_what_they_do_not_mean():
    ids, zeros, ones = np.arange(3, dtype=np.int32), np.zeros(3, np.float32), np.array([0, 1, 1], bool)
    TokenRow(ids, ones, zeros, zeros)
    for fields, problem in [
        ((ids, ones[:2], zeros, zeros), "fields of lengths"),
        ((ids, zeros.astype(bool), zeros, zeros), "all-zero mask"),
        ((ids, np.ones(3, bool), zeros, zeros), "first id of a row cannot be sampled"),
        ((ids, ones, zeros - 1, zeros), "outside the mask must be 0"),
        ((ids, ones, zeros, zeros - 1), "outside the mask must be 0"),
    ]:
        with pytest.raises(ValueError, match=problem):
            TokenRow(*fields)
    with pytest.raises(ValueError, match="unknown stop 'tired'"):
        Turn("a", "b", "c", "d", "tired")


def test_an_episode_as_json(make):
    (episode,) = make(Limits(12, 2)).play(chatter_jobs(1, 2))
    data = json.loads(json.dumps(episode.to_json(), allow_nan=False))
    assert data["outcome"]["score"] is None and data["outcome"]["status"] == "aborted" and data["stop"] == "turns"
    assert [turn["player"] for turn in data["turns"]] == ["learner"] * 2
    assert data["turns"][0]["message"] == "0 topic 0"
    assert "rows" not in data


def test_an_episode_read_again_keeps_what_is_no_number():
    named = {"Guesses": math.nan, "Streak": 3.0}
    outcome = Outcome("aborted", math.nan, 1, 0, 1, named, "no list", "guesser")
    told = json.loads(metrics.json_text(Episode("taboo", {"game_id": 1}, 0, (), outcome, "end").to_json()))
    again = episode_from_json(told).outcome
    assert math.isnan(again.score) and math.isnan(again.metrics["Guesses"]) and again.metrics["Streak"] == 3


# ---------------------------------------------------------------------------------------------- players


def game() -> Game:
    return games.make("taboo")


def test_seats_are_filled_by_name_then_chance_then_default():
    codenames = games.make("codenames")
    assert players.seating(codenames, {"guesser": "random"}) == {
        "cluegiver": "learner",
        "guesser": "random",
        "opponent": "scripted",
    }
    with pytest.raises(ValueError, match="taboo has no seat 'giver': one of describer, guesser"):
        players.seating(game(), {"giver": "random"})


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ("scritped", "taboo.guesser has no player 'scritped': did you mean 'scripted'"),
        ("zzz", "taboo.guesser has no player 'zzz': one of scripted, random, broken, or a policy"),
        ("scripted:much", "taboo.guesser=scripted:much: the strength is a number from 0 to 1"),
        ("scripted:7", "the strength is a number from 0 to 1"),
        ("scripted:nan", "the strength is a number from 0 to 1"),
    ],
)
def test_players_that_do_not_exist_are_named(spec, problem):
    with pytest.raises(ValueError, match=problem):
        players.scripted(game(), "guesser", spec)
    assert players.scripted(game(), "guesser", "scripted:0.25").strength == 0.25


def test_players_of_a_config_are_read_and_checked():
    assert players.parse(("taboo.guesser=scripted:0.5", "wordle.guesser=random"), ("taboo",)) == {
        "taboo": {"guesser": "scripted:0.5"}
    }
    for spec in ("taboo.guesser", "guesser=random", "taboo.guesser=", "=random"):
        with pytest.raises(ValueError, match="is not of the form game.seat=player"):
            players.parse((spec,), ("taboo",))
    with pytest.raises(KeyError, match="unknown game 'tabo': did you mean 'taboo'"):
        players.parse(("tabo.guesser=random",), ("taboo",))
    with pytest.raises(ValueError, match="codenames.opponent has no player 'learner'"):
        players.check(("codenames.opponent=learner",), ("codenames",))
    for config, problem in [
        (configs.Config(games=("wordel",)), "unknown game 'wordel': did you mean 'wordle'"),
        (configs.Config(players=("taboo.guesser=scritped",)), "did you mean 'scripted'"),
        (configs.Config(players=("taboo.giver=scripted",)), "taboo has no seat 'giver'"),
    ]:
        with pytest.raises(configs.ConfigError, match=problem):
            checks.check(config)


# ---------------------------------------------------------------------------------------------- which episodes are played


def test_groups_of_a_step_are_a_function_of_config_and_step():
    config = configs.Config(grpo=configs.Grpo(instances=5, plays=3), form="short")
    jobs = draws.training_jobs(config, 2)
    assert jobs == draws.training_jobs(config, 2) != draws.training_jobs(config, 3)
    assert [job.sample for job in jobs] == [0, 1, 2] * 5
    groups = [jobs[i : i + 3] for i in range(0, 15, 3)]
    assert all(len({(job.game.name, job.seed, job.instance["game_id"]) for job in group}) == 1 for group in groups)
    assert [group[0].game.name for group in groups] == ["taboo", "guesswhat", "wordle", "taboo", "guesswhat"], (
        "games take turns"
    )
    assert dict(groups[0][0].seats) == {"describer": "scripted", "guesser": "learner"}
    drawn = [group[0] for step in range(12) for group in [draws.training_jobs(config, step)[::3]]]
    assert len({job.seed for job in drawn}) == 12, "every group has an instance of its own"
    levels = [
        job.instance["level"]
        for step in range(12)
        for job in draws.training_jobs(config, step)[::3]
        if job.game.name == "wordle"
    ]
    assert levels[:4] == ["easy", "medium", "easy", "medium"], "levels take turns"
    other = draws.training_jobs(dataclasses.replace(config, seed=1), 2)
    assert [job.seed for job in other] != [job.seed for job in jobs]


def test_held_out_episodes_stay_the_same_and_share_no_target_with_training():
    config = configs.Config(eval=configs.Evaluation(episodes=6, plays=2, split="test"), form="short")
    jobs = draws.held_out_jobs(config)
    assert len(jobs) == 3 * 6 * 2 and jobs == draws.held_out_jobs(dataclasses.replace(config, seed=9))
    for name in config.games:
        target = games.make(name).target
        held = {target(job.instance) for job in jobs if job.game.name == name}
        seen = {target(job.instance) for step in range(8) for job in draws.training_jobs(config, step) if job.game.name == name}
        assert held and seen and held.isdisjoint(seen)


def test_scripted_dialogues_show_the_seats_that_learn():
    config = configs.Config(form="short", sft=configs.Sft(strengths=(1.0,), broken=0.0))
    assert draws.scripted_dialogue(config, 4) == draws.scripted_dialogue(config, 4) != draws.scripted_dialogue(config, 7)
    for number in range(9):
        (dialogue,) = draws.scripted_dialogue(config, number)  # in each of the three games one seat learns
        assert [message["role"] for message in dialogue] == ["user", "assistant"] * (len(dialogue) // 2)
        assert "GUESS" in dialogue[-1]["content"] or "guess" in dialogue[-1]["content"]
    both = dataclasses.replace(config, games=("taboo",), players=())
    assert len(draws.scripted_dialogue(both, 0)) == 2
