"""Serve a policy: `python -m playpen_jax.serve --checkpoint=PATH [--port=8000]`, an OpenAI-compatible endpoint.

POST /v1/chat/completions (also with "stream": true), GET /v1/models, GET /health. Requests share the rows of one sampler as
they come and go. It listens on loopback unless --host says otherwise; there is no authentication.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import queue
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from playpen_jax import policy
from playpen_jax.programs import compilation_cache, parser, user_errors
from playpen_jax.sampler.sample import Sampling
from playpen_jax.sampler.sampler import Sampler

LONGEST = 16 << 20  # bytes of a request
KINDS = 4  # samplers of unlike sampling settings that are kept


class BadRequest(ValueError):
    """What a client asked for cannot be answered; the message says why."""


@dataclasses.dataclass(frozen=True)
class Wish:
    """A request: the dialogue's tokens and how it is to be answered; `stops`: texts at which the reply is cut."""

    ids: tuple[int, ...]
    how: Sampling
    max_tokens: int
    seed: int
    stops: tuple[str, ...]
    answer: Future = dataclasses.field(default_factory=Future, compare=False)


@dataclasses.dataclass(frozen=True)
class Answer:
    text: str
    finish: str  # "stop" or "length"
    tokens: int


class Engine:
    """One thread that owns the device: it takes requests into free rows and decodes all rows together."""

    def __init__(self, served: policy.Policy, rows: int, context: int):
        self.served, self.rows, self.context = served, rows, context
        self._wishes: queue.Queue[Wish | None] = queue.Queue()
        self._samplers: dict[Sampling, Sampler] = {}
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    def ask(self, wish: Wish) -> Future:
        self._wishes.put(wish)
        return wish.answer

    def close(self) -> None:
        self._wishes.put(None)
        self._thread.join()

    def _run(self) -> None:
        waiting: list[Wish] = []
        speaking: dict[tuple[Sampling, int], Wish] = {}
        while True:
            while not self._wishes.empty() or not (waiting or speaking):
                wish = self._wishes.get()
                if wish is None:
                    return
                waiting.append(wish)
            waiting = [wish for wish in waiting if not self._seat(wish, speaking)]
            for how in dict.fromkeys(how for how, _ in speaking):
                self._step(how, speaking)

    def _seat(self, wish: Wish, speaking: dict) -> bool:
        """Give a request a row, if one is free."""
        try:
            sampler = self._sampler(wish.how, {how for how, _ in speaking})
            row = sampler.take() if sampler else None
            if row is None:
                return False
            room = min(wish.max_tokens, self.context - len(wish.ids))
            digest = hashlib.blake2b(f"{wish.seed}/{wish.ids}".encode(), digest_size=8).digest()
            key = int.from_bytes(digest[:4], "big"), int.from_bytes(digest[4:], "big")
            sampler.feed(row, list(wish.ids), key, room)
            speaking[wish.how, row] = wish
        except Exception as error:  # one request must not end the server
            wish.answer.set_exception(error)
        return True

    def _sampler(self, how: Sampling, used: set[Sampling]) -> Sampler | None:
        """The sampler of these settings; None while all that may be kept are at work."""
        if how not in self._samplers:
            idle = [other for other in self._samplers if other not in used]
            if len(self._samplers) >= KINDS:
                if not idle:
                    return None
                del self._samplers[idle[0]]
            made = Sampler(self.served.config, self.rows, self.context, how, self.served.chat.stops)
            made.load(self.served.params)
            self._samplers[how] = made
        return self._samplers[how]

    def _step(self, how: Sampling, speaking: dict) -> None:
        sampler = self._samplers[how]
        for reply in sampler.run():
            wish = speaking.pop((how, reply.row))
            sampler.drop(reply.row)
            text, finish = self.served.chat.text(reply.ids), "stop" if reply.stop == "stop" else "length"
            cut = min((at for at in map(text.find, wish.stops) if at >= 0), default=None)
            wish.answer.set_result(
                Answer(text if cut is None else text[:cut], finish if cut is None else "stop", len(reply.ids))
            )


def wishes(served: policy.Policy, context: int, body: Mapping[str, Any]) -> list[Wish]:
    """The `n` requests that a body asks for; raises `BadRequest`."""
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise BadRequest("'messages' must be a list that is not empty")
    for i, message in enumerate(messages):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise BadRequest(f"messages[{i}] must be an object with a role")
        if not isinstance(message.get("content"), str):
            raise BadRequest(f"messages[{i}].content must be text")
    if messages[-1]["role"] != "user":
        raise BadRequest("the last message must be the user's")
    if body.get("logprobs") or body.get("tools"):
        raise BadRequest("'logprobs' and 'tools' are not supported")
    try:
        ids = served.chat.dialogue([{"role": m["role"], "content": m["content"]} for m in messages])[0].tolist()
    except (ValueError, KeyError) as error:
        raise BadRequest(f"messages: {error}") from None
    if len(ids) >= context:
        raise BadRequest(f"the messages are {len(ids)} tokens long, the context is {context}")
    how = _sampling(body)
    stops = body.get("stop") or ()
    stops = (stops,) if isinstance(stops, str) else tuple(stops)
    if not all(isinstance(text, str) and text for text in stops):
        raise BadRequest("'stop' must be a text or a list of texts")
    n, seed = _whole(body, "n", 1, 1, 128), _whole(body, "seed", None, None, None)
    most = _whole(body, "max_completion_tokens", None, 1, None) or _whole(body, "max_tokens", 256, 1, None)
    first = time.time_ns() if seed is None else seed
    return [Wish(tuple(ids), how, most, first + i, stops) for i in range(n)]


def _sampling(body: Mapping[str, Any]) -> Sampling:
    try:
        given = [
            float(body[k]) if body.get(k) is not None else default for k, default in (("temperature", 1.0), ("top_p", 1.0))
        ]
        return Sampling(given[0], _whole(body, "top_k", 0, 0, None), given[1])
    except (TypeError, ValueError) as error:
        raise BadRequest(f"temperature, top_p: {error}") from None


def _whole(body: Mapping[str, Any], name: str, default: int | None, least: int | None, most: int | None) -> int | None:
    value = body.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or (least is not None and value < least):
        raise BadRequest(f"{name!r} must be a whole number{'' if least is None else f' from {least} on'}, not {value!r}")
    if most is not None and value > most:
        raise BadRequest(f"{name!r} is at most {most}")
    return value


def completion(name: str, wished: Sequence[Wish], answers: Sequence[Answer]) -> dict[str, Any]:
    """The body of a chat completion."""
    choices = [
        {"index": i, "message": {"role": "assistant", "content": a.text}, "finish_reason": a.finish}
        for i, a in enumerate(answers)
    ]
    prompt, said = len(wished[0].ids), sum(a.tokens for a in answers)
    usage = {"prompt_tokens": prompt, "completion_tokens": said, "total_tokens": prompt + said}
    head = {"id": f"chatcmpl-{next(_NUMBERS)}", "object": "chat.completion", "created": int(time.time()), "model": name}
    return head | {"choices": choices, "usage": usage}


_NUMBERS = itertools.count(1)


def chunks(whole: Mapping[str, Any]) -> Iterator[bytes]:
    """The same as server-sent events: each reply in one piece, then its end."""
    head = {key: whole[key] for key in ("id", "created", "model")} | {"object": "chat.completion.chunk"}
    for choice in whole["choices"]:
        for delta, finish in ((choice["message"], None), ({}, choice["finish_reason"])):
            event = head | {"choices": [{"index": choice["index"], "delta": delta, "finish_reason": finish}]}
            yield f"data: {json.dumps(event)}\n\n".encode()
    yield b"data: [DONE]\n\n"


class Handler(BaseHTTPRequestHandler):
    """One connection; `server` has the engine, the policy's name and the context."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        if self.path in ("/health", "/v1/health"):
            return self._send(200, {"status": "ok"})
        if self.path == "/v1/models":
            return self._send(200, {"object": "list", "data": [{"id": self.server.model, "object": "model"}]})
        self._refuse(404, f"no such path: {self.path[:100]}")

    def do_POST(self) -> None:
        if self.path != "/v1/chat/completions":
            return self._refuse(404, f"no such path: {self.path[:100]}")
        try:
            body = self._body()
            wished = wishes(self.server.engine.served, self.server.engine.context, body)
        except BadRequest as error:
            return self._refuse(400, str(error))
        futures = [self.server.engine.ask(wish) for wish in wished]
        try:
            whole = completion(self.server.model, wished, [future.result() for future in futures])
        except Exception as error:  # of the engine: the client is told, the server goes on
            return self._refuse(500, f"{type(error).__name__}: {error}")
        if body.get("stream"):
            self._stream(whole)
        else:
            self._send(200, whole)

    def _body(self) -> dict:
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or int(length) > LONGEST:
            self.close_connection = True
            raise BadRequest(f"Content-Length must be a number up to {LONGEST}")
        try:
            body = json.loads(self.rfile.read(int(length)))
        except ValueError as error:
            raise BadRequest(f"the body is not JSON: {error}") from None
        if not isinstance(body, dict):
            raise BadRequest("the body must be a JSON object")
        return body

    def _refuse(self, status: int, message: str) -> None:
        self._send(status, {"error": {"message": message, "type": "invalid_request_error" if status < 500 else "server_error"}})

    def _send(self, status: int, body: dict) -> None:
        raw = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def _stream(self, whole: Mapping[str, Any]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        for event in chunks(whole):
            self.wfile.write(event)
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """Not a line for every request."""


class Server(ThreadingHTTPServer):
    """The endpoint of one policy; `server_address` tells the port that port 0 became."""

    daemon_threads = True

    def __init__(
        self, served: policy.Policy, model: str, host: str = "127.0.0.1", port: int = 0, rows: int = 32, context: int = 2048
    ):
        self.model, self.engine = model, Engine(served, rows, context)
        super().__init__((host, port), Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hung up is nobody's fault."""
        if not isinstance(sys.exception(), (ConnectionError, TimeoutError)):
            super().handle_error(request, client_address)

    def server_close(self) -> None:
        super().server_close()
        self.engine.close()


def main(argv: Sequence[str] | None = None) -> int:
    options = parser("serve", __doc__)
    options.add_argument("--checkpoint", required=True, metavar="PATH")
    options.add_argument("--host", default="127.0.0.1", help="address to listen on (default: loopback)")
    options.add_argument("--port", type=int, default=8000)
    options.add_argument("--rows", type=int, default=32, help="dialogues on the device at once (default: 32)")
    options.add_argument("--context", type=int, default=2048, help="tokens of a dialogue and its reply (default: 2048)")
    options.add_argument("--model", help="the name that clients know (default: the path)")
    args = options.parse_args(argv)
    with user_errors():
        if args.rows < 1 or args.context < 2:
            raise ValueError("--rows and --context must be 1 and 2 at least")
        compilation_cache()
        served = policy.load(args.checkpoint)
        if served.chat is None:
            raise ValueError(f"--checkpoint={args.checkpoint} has no tokenizer")
        try:
            server = Server(served, args.model or str(args.checkpoint), args.host, args.port, args.rows, args.context)
        except OverflowError as error:
            raise ValueError(f"--port={args.port}: {error}") from None
    print(f"serving {server.model} on http://{args.host}:{server.server_address[1]}/v1", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        print("stopped")
    finally:
        server.server_close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
