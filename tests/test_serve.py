"""A policy behind an endpoint, and partners behind endpoints that fail in every way."""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import Future
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

import games
import playpen_jax as pp
from playpen_jax import evaluate, metrics, rollout, serve
from playpen_jax.endpoint import Endpoint, EndpointError
from playpen_jax.sampler.sample import Sampling
from playpen_jax.sampler.sampler import Sampler
from playpen_jax.serving.server import Server

PROMPT = [{"role": "user", "content": "Say a letter."}]


@pytest.fixture(scope="module")
def server():
    made = Server(pp.load("tiny"), "tiny", rows=4, context=128)
    threading.Thread(target=made.serve_forever, daemon=True).start()
    yield made
    made.shutdown()
    made.server_close()


def address(server) -> str:
    return f"http://127.0.0.1:{server.server_address[1]}/v1"


def post(server, body, path: str = "/chat/completions") -> tuple[int, bytes]:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(address(server) + path, raw), timeout=120) as reply:
            return reply.status, reply.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def test_a_greedy_completion_is_what_the_policy_says(server):
    status, raw = post(server, {"model": "x", "messages": PROMPT, "temperature": 0, "max_tokens": 12})
    made = json.loads(raw)
    (expected,) = pp.load("tiny").generate([PROMPT], max_tokens=12, temperature=0.0)
    assert status == 200 and made["choices"][0]["message"] == {"role": "assistant", "content": expected}
    assert made["object"] == "chat.completion" and made["choices"][0]["finish_reason"] in ("stop", "length")
    usage = made["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"] and 0 < usage["completion_tokens"] <= 12


def test_seeds_repeat_and_n_differ(server):
    ask = {"messages": PROMPT, "temperature": 2.0, "max_tokens": 12, "n": 6, "seed": 5}
    first, again = (json.loads(post(server, ask)[1])["choices"] for _ in range(2))
    assert first == again and [choice["index"] for choice in first] == list(range(6))
    assert len({choice["message"]["content"] for choice in first}) > 1


def test_many_clients_share_the_rows(server):
    with_own = Endpoint(address(server), concurrency=12)
    replies = [with_own.submit(PROMPT, 8, temperature=0.0) for _ in range(12)]
    assert len({reply.result(timeout=120) for reply in replies}) == 1
    assert (with_own.counts.replies, with_own.counts.retries, with_own.counts.failures) == (12, 0, 0)
    with_own.close()


def test_a_stream_says_the_same_and_ends(server):
    ask = {"messages": PROMPT, "temperature": 0, "max_tokens": 12}
    whole = json.loads(post(server, ask)[1])["choices"][0]
    events = post(server, ask | {"stream": True})[1].decode().strip().split("\n\n")
    assert events[-1] == "data: [DONE]"
    choices = [json.loads(event.removeprefix("data: "))["choices"][0] for event in events[:-1]]
    assert "".join(choice["delta"].get("content", "") for choice in choices) == whole["message"]["content"]
    assert choices[-1]["finish_reason"] == whole["finish_reason"]


def test_a_stop_text_cuts_the_reply(server):
    ask = {"messages": PROMPT, "temperature": 0, "max_tokens": 12}
    text = json.loads(post(server, ask)[1])["choices"][0]["message"]["content"]
    cut = json.loads(post(server, ask | {"stop": [text[2]]})[1])["choices"][0]
    assert cut["message"]["content"] == text[: text.index(text[2])] and cut["finish_reason"] == "stop"


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"{", "not JSON"),
        (b"[]", "JSON object"),
        ({}, "'messages'"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "assistant", "content": "a"}]}, "the last message"),
        ({"messages": PROMPT, "temperature": -1}, "temperature"),
        ({"messages": PROMPT, "temperature": "hot"}, "temperature"),
        ({"messages": PROMPT, "max_tokens": 0}, "'max_tokens' must be a whole number from 1 on"),
        ({"messages": PROMPT, "n": 1000}, "'n' is at most 128"),
        ({"messages": PROMPT, "stop": [3]}, "'stop'"),
        ({"messages": PROMPT, "tools": [{}]}, "not supported"),
        ({"messages": [{"role": "user", "content": "word " * 500}]}, "the context is 128"),
    ],
)
def test_a_bad_request_is_told_why(server, body, told):
    status, raw = post(server, body)
    assert status == 400 and told in json.loads(raw)["error"]["message"]


def test_other_paths(server):
    assert post(server, {}, "/completions")[0] == 404
    with urllib.request.urlopen(address(server) + "/models", timeout=10) as reply:
        assert json.loads(reply.read())["data"][0]["id"] == "tiny"


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--checkpoint=nowhere"], "nowhere: no such folder"),
        (["--checkpoint=tiny", "--rows=0"], "--rows"),
        (["--checkpoint=tiny", "--port=99999"], "--port=99999"),
    ],
)
def test_a_server_that_cannot_start_says_so(more, told, capsys):
    with pytest.raises(SystemExit) as stop:
        serve.main(more)
    (line,) = capsys.readouterr().err.splitlines()
    assert stop.value.code == 2 and told in line


GOOD = json.dumps({"choices": [{"message": {"role": "assistant", "content": "hello"}}]}).encode()


class Faulty(BaseHTTPRequestHandler):
    """Answers request after request as its plan says."""

    plan: list = []
    seen: list = []

    def do_POST(self):
        self.seen.append((json.loads(self.rfile.read(int(self.headers["Content-Length"]))), self.headers.get("Authorization")))
        fault = self.plan.pop(0) if self.plan else "good"
        if fault == "slow":
            time.sleep(0.6)
        if fault == "cut":
            self.send_response(200)
            self.send_header("Content-Length", str(len(GOOD)))
            self.end_headers()
            self.wfile.write(GOOD[:10])
            return
        status, body = {
            "good": (200, GOOD),
            "garbage": (200, b"<html>"),
            "odd": (200, b'{"choices": []}'),
            "slow": (200, GOOD),
        }.get(fault, (fault, b'{"error": "no\\n more"}'))
        self.send_response(status)
        if status == 429:
            self.send_header("Retry-After", "7")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def faulty():
    Faulty.plan, Faulty.seen = [], []
    made = ThreadingHTTPServer(("127.0.0.1", 0), Faulty)
    made.handle_error = lambda *_: None  # clients that gave up
    threading.Thread(target=made.serve_forever, daemon=True).start()
    yield made
    made.shutdown()
    made.server_close()


def partner(faulty, pauses: list, **more) -> Endpoint:
    return Endpoint(address(faulty), "m", timeout=0.3, tries=3, sleep=pauses.append, **more)


@pytest.mark.parametrize("fault", [500, 503, 429, "garbage", "odd", "cut", "slow"])
def test_what_may_pass_is_tried_again(faulty, fault, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    Faulty.plan, pauses = [fault, fault], []
    made = partner(faulty, pauses)
    assert made.submit(PROMPT, 5, 0.5, seed=3).result(timeout=30) == "hello"
    assert (made.counts.replies, made.counts.retries, made.counts.failures) == (1, 2, 0)
    assert pauses == [7.0, 7.0] if fault == 429 else 0.5 <= pauses[0] <= 1.0 <= pauses[1] <= 2.0
    body, key = Faulty.seen[0]
    assert body == {"model": "m", "messages": PROMPT, "max_tokens": 5, "temperature": 0.5, "seed": 3} and key == "Bearer k"
    made.close()


def test_what_does_not_pass_ends_in_one_line(faulty):
    Faulty.plan, pauses = [500] * 3 + [400], []
    made = partner(faulty, pauses)
    with pytest.raises(EndpointError, match=r"no reply in 3 tries, the last: status 500 .*no\\n more"):
        made.submit(PROMPT, 5).result(timeout=30)
    assert len(pauses) == 2, "no pause after the last try"
    with pytest.raises(EndpointError, match="status 400"):
        made.submit(PROMPT, 5).result(timeout=30)
    assert made.counts.failures == 2 and len(Faulty.seen) == 4
    made.close()


def test_nobody_there():
    made = Endpoint("http://127.0.0.1:9/v1", tries=2, sleep=lambda _: None)
    with pytest.raises(EndpointError, match="no reply in 2 tries.*refused"):
        made.submit(PROMPT, 5).result(timeout=30)
    with pytest.raises(ValueError, match="is no address of an endpoint"):
        Endpoint("localhost:8000")


def jobs(seats: dict, n: int = 4) -> list[rollout.Job]:
    game = games.make("taboo")
    return [rollout.Job(game, instance, seats, 0, f"{i}", "short") for i, instance in enumerate(game.instances("train", n))]


LIMITS = rollout.Limits(max_tokens=12, max_turns=10)


def test_a_partner_behind_an_endpoint_plays_as_it_would_here(server):
    """Greedy: the same words as the policy itself says in that seat."""
    tiny, where = pp.load("tiny"), address(server)
    remote = rollout.Rollout({}, {}, LIMITS, temperature=0.0).play(jobs({"describer": "scripted", "guesser": where}))
    sampler = Sampler(tiny.config, 4, 128, Sampling(0.0), tiny.chat.stops)
    sampler.load(tiny.params)
    here = rollout.Rollout({"learner": sampler}, tiny.chat, LIMITS).play(jobs({"describer": "scripted", "guesser": "learner"}))
    words = lambda episodes: [[turn.reply for turn in e.turns] for e in episodes]
    assert words(remote) == words(here) and all(not e.rows for e in remote)
    assert {turn.player for e in remote for turn in e.turns} == {"scripted", where}


class Told:
    """An endpoint that answers by a plan."""

    def __init__(self, *plan):
        self.plan, self.asked = list(plan), []

    def submit(self, dialogue, max_tokens, temperature, seed):
        self.asked.append(dialogue)
        found, answer = Future(), self.plan.pop(0)
        found.set_exception(answer) if isinstance(answer, Exception) else found.set_result(answer)
        return found


def learn_beside(told: Told, n: int = 1) -> list:
    tiny = pp.load("tiny")
    sampler = Sampler(tiny.config, 4, 128, Sampling(1.0), tiny.chat.stops)
    sampler.load(tiny.params)
    player = rollout.Rollout({"learner": sampler}, tiny.chat, LIMITS, {"http://partner": told})
    return player.play(jobs({"describer": "http://partner", "guesser": "learner"}, n))


def test_an_abort_of_the_partner_is_played_again_then_left_out():
    (first,) = learn_beside(Told("I break the form", "I break it again"))
    assert first.stop == "partner" and first.failed and not first.rows
    assert first.outcome.status == "aborted" and "http://partner broke a rule" in first.outcome.reason
    told = Told("I break the form", "CLUE: a thing", "CLUE: a thing", "CLUE: a thing")
    (second,) = learn_beside(told)
    assert second.stop == "end" and second.turns[0].reply == "CLUE: a thing" and second.rows.keys() == {"guesser"}
    assert told.asked[0] == told.asked[1] and len(told.asked[0]) == 1


def test_a_partner_that_does_not_answer_is_counted_not_scored():
    silent = EndpointError("nobody there")
    (episode,) = learn_beside(Told(silent, silent))
    assert episode.stop == "partner" and episode.outcome.reason == "nobody there" and not episode.rows
    found = metrics.episode_metrics([episode])
    assert found["stops/partner"] == 1.0 and not any(name.startswith("games/") for name in found)


def test_an_endpoint_is_evaluated(server, tmp_path, capsys):
    argv = ["--suite=guesswhat", "--episodes=2", "--form=short", "--max-tokens=12", "--players=guesswhat.answerer=scripted"]
    assert evaluate.main([f"--checkpoint={address(server)}#tiny", f"--out={tmp_path / 'remote'}", *argv]) == 0
    assert evaluate.main(["--checkpoint=tiny", f"--out={tmp_path / 'here'}", "--context=128", *argv]) == 0
    remote, here = (metrics.read(tmp_path / name / "episodes.jsonl") for name in ("remote", "here"))
    words = lambda episodes: [[turn["reply"] for turn in e["turns"]] for e in episodes]
    assert words(remote) == words(here) and [e["outcome"] for e in remote] == [e["outcome"] for e in here]
