"""A policy behind an endpoint, and partners behind endpoints that fail in every way."""

from __future__ import annotations

import http.client
import json
import queue
import select
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from concurrent.futures import Future
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

import games
import playpen_jax as pp
from playpen_jax import evaluate, metrics, rollout, serve
from playpen_jax.chat import ByteTokenizer, Chat
from playpen_jax.endpoint import Endpoint, EndpointError
from playpen_jax.sampler.sample import Sampling
from playpen_jax.sampler.sampler import Sampler
from playpen_jax.serving.engine import Telling
from playpen_jax.serving.server import Server
from playpen_jax.serving.wishes import Answer, Wish

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


def events(server, ask: dict) -> list[dict]:
    """The events of a stream, without the last one, which says that it is done."""
    *found, done = post(server, ask | {"stream": True})[1].decode().strip().split("\n\n")
    assert done == "data: [DONE]"
    return [json.loads(event.removeprefix("data: ")) for event in found]


def pieces(found: list[dict], index: int = 0) -> list[str]:
    """What the events of a stream say of one choice, piece by piece; who speaks comes first, why it ended last."""
    of_it = [choice for event in found for choice in event["choices"] if choice["index"] == index]
    first, *between, last = of_it
    assert first["delta"] == {"role": "assistant", "content": ""} and last["delta"] == {} and last["finish_reason"]
    assert all(choice["delta"].keys() == {"content"} and choice["finish_reason"] is None for choice in between)
    return [choice["delta"]["content"] for choice in between]


@pytest.mark.parametrize("more", [{"temperature": 0}, {"temperature": 1.0, "seed": 3}, {"temperature": 3.0, "seed": 4, "n": 5}])
def test_a_stream_says_the_same_in_pieces(server, more):
    """At a high temperature most replies have bytes that are no character, and characters of several tokens."""
    ask = {"messages": PROMPT, "max_tokens": 24, **more}
    whole, found = json.loads(post(server, ask)[1]), events(server, ask)
    assert {event["object"] for event in found} == {"chat.completion.chunk"} and len({event["id"] for event in found}) == 1
    for i, choice in enumerate(whole["choices"]):
        said = pieces(found, i)
        assert "".join(said) == choice["message"]["content"] and all(said)
        assert len(said) > 1 or len(choice["message"]["content"]) < 40, "no more than four tokens a piece"
        reasons = [c["finish_reason"] for event in found for c in event["choices"] if c["index"] == i]
        assert reasons[-1] == choice["finish_reason"]
    assert not any("usage" in event for event in found)
    *others, last = events(server, ask | {"stream_options": {"include_usage": True}})
    assert last["usage"] == whole["usage"] and last["choices"] == [] and {event["usage"] for event in others} == {None}


class Gate:
    """Lets the sampler run chunk by chunk, each when it is told to."""

    def __init__(self, monkeypatch):
        self.steps = threading.Semaphore(0)
        inner = Sampler.run

        def run(sampler):
            self.steps.acquire()
            return inner(sampler)

        monkeypatch.setattr(Sampler, "run", run)

    def open(self) -> None:
        self.steps.release(10**6)


def begun(server, **more) -> http.client.HTTPResponse:
    """A stream of which only the headers were read."""
    line = http.client.HTTPConnection(*server.server_address, timeout=60)
    line.request("POST", "/v1/chat/completions", json.dumps({"messages": PROMPT, "stream": True, "temperature": 0} | more))
    return line.getresponse()


def wait_for(test: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not test():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_words_come_before_the_reply_has_ended(server, monkeypatch):
    gate = Gate(monkeypatch)
    try:
        reply = begun(server, max_tokens=24)
        gate.steps.release(2)  # two chunks of six; the first one also computes the prompt
        lines = [reply.readline() for _ in range(3)]  # who speaks; an empty line; words
        assert json.loads(lines[2].removeprefix(b"data: "))["choices"][0]["delta"]["content"]
        assert not select.select([reply.fp], [], [], 0.3)[0] or b"[DONE]" not in reply.fp.peek(1 << 16)
    finally:
        gate.open()
    assert reply.read().endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_goes_away_frees_its_row(server, monkeypatch, stream):
    monkeypatch.setattr("playpen_jax.serving.server.PATIENCE", 0.05)
    gate, samplers = Gate(monkeypatch), server.engine._samplers.values()
    held = lambda: sum(len(sampler._held) for sampler in samplers)
    try:
        line = http.client.HTTPConnection(*server.server_address, timeout=60)
        ask = {"messages": PROMPT, "stream": stream, "temperature": 0, "max_tokens": 90}
        line.request("POST", "/v1/chat/completions", json.dumps(ask))
        wait_for(lambda: held() == 1)
        line.sock.shutdown(socket.SHUT_RDWR)
        line.close()
        before = {id(sampler): sampler.counters.sampled for sampler in samplers}
        while held():
            gate.steps.release()
            time.sleep(0.1)
        assert sum(sampler.counters.sampled - before[id(sampler)] for sampler in samplers) < 60, "it did not speak to its end"
    finally:
        gate.open()
    assert post(server, {"messages": PROMPT, "max_tokens": 3})[0] == 200


def test_an_error_of_the_engine_is_the_end_of_a_stream(server, monkeypatch):
    def broken(*_):
        raise RuntimeError("no pages")

    with monkeypatch.context() as patch:
        patch.setattr(Sampler, "feed", broken)
        assert post(server, {"messages": PROMPT})[0] == 500
        raw = post(server, {"messages": PROMPT, "stream": True})[1].decode()
    assert json.loads(raw.strip().split("data: ")[-1])["error"]["message"] == "RuntimeError: no pages"


def test_the_client_of_openai_reads_a_stream(server):
    openai = pytest.importorskip("openai")
    with openai.OpenAI(base_url=address(server), api_key="none") as client:
        ask = {"model": "tiny", "messages": PROMPT, "temperature": 0, "max_tokens": 12}
        whole = client.chat.completions.create(**ask)
        chunks = list(client.chat.completions.create(**ask, stream=True, stream_options={"include_usage": True}))
    said = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    assert said == whole.choices[0].message.content and chunks[-1].usage == whole.usage
    assert chunks[-2].choices[0].finish_reason == whole.choices[0].finish_reason


def telling(stops: tuple[str, ...] = (), stream: bool = True) -> tuple[Telling, queue.SimpleQueue]:
    told: queue.SimpleQueue = queue.SimpleQueue()
    wish = Wish(0, (), Sampling(0.0), 99, 0, stops, stream, told)
    return Telling(wish, Chat(ByteTokenizer())), told


def heard(told: queue.SimpleQueue) -> list:
    return [told.get()[1] for _ in range(told.qsize())]


def test_no_half_character_is_told():
    one, told = telling()
    ids = list("a🙂é".encode())
    for n in range(1, len(ids) + 1):
        assert not one.hear(ids[:n], None)
    assert heard(told) == ["a", "🙂", "é"]
    assert one.hear([*ids, 0xE2], "length") and heard(told) == ["\ufffd", Answer("a🙂é\ufffd", "length", 8)]


@pytest.mark.parametrize("step", [1, 2, 3, 5, 40])
@pytest.mark.parametrize("stream", [True, False])
def test_a_stop_text_cuts_a_stream_at_the_same_token_whatever_the_chunks(step, stream):
    one, told = telling(("END", "N\nD"), stream)
    ids = list(b"one EN two E END three")
    ends = [*range(step, len(ids), step), len(ids)]
    last = next(n for n in ends if one.hear(ids[:n], "stop" if n == len(ids) else None))
    *said, answer = heard(told)
    assert answer == Answer("one EN two E ", "stop", 16) and "".join(said) == answer.text * stream
    assert last == next(n for n in ends if n >= 16), "it is answered at once"
    assert all("E" not in piece[-1:] or piece.endswith("E E") for piece in said), "what may begin a stop text is held back"


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
        ({"messages": PROMPT, "stream": 1}, "'stream' must be true or false"),
        ({"messages": PROMPT, "stream_options": {"include_usage": True}}, "'stream_options'"),
        (
            {"messages": PROMPT, "stream": True, "stream_options": {"include_usage": "yes"}},
            "'include_usage' must be true or false",
        ),
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
