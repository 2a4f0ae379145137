"""The endpoint: HTTP on one side, the engine on the other."""

from __future__ import annotations

import itertools
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from playpen_jax import policy
from playpen_jax.serving.engine import Answer, Engine
from playpen_jax.serving.wishes import BadRequest, Wish, wishes

LONGEST = 16 << 20  # bytes of a request


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
