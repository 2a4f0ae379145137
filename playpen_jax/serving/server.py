"""The endpoint: HTTP on one side, the engine on the other."""

from __future__ import annotations

import itertools
import json
import queue
import socket
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from playpen_jax import policy
from playpen_jax.serving.engine import Engine
from playpen_jax.serving.wishes import Answer, BadRequest, Wish, flag, usage_wanted, wishes

LONGEST = 16 << 20  # bytes of a request
PATIENCE = 1.0  # seconds without a word after which the server looks whether the client is still there
_NUMBERS = itertools.count(1)


def head(name: str, kind: str) -> dict[str, Any]:
    """What all objects of one completion have in common."""
    return {"id": f"chatcmpl-{next(_NUMBERS)}", "object": kind, "created": int(time.time()), "model": name}


def usage(wished: Sequence[Wish], answers: Sequence[Answer]) -> dict[str, int]:
    prompt, said = len(wished[0].ids), sum(answer.tokens for answer in answers)
    return {"prompt_tokens": prompt, "completion_tokens": said, "total_tokens": prompt + said}


def completion(name: str, wished: Sequence[Wish], answers: Sequence[Answer]) -> dict[str, Any]:
    """The body of a chat completion."""
    choices = [
        {"index": i, "message": {"role": "assistant", "content": a.text}, "finish_reason": a.finish}
        for i, a in enumerate(answers)
    ]
    return head(name, "chat.completion") | {"choices": choices, "usage": usage(wished, answers)}


def chunks(
    name: str, wished: Sequence[Wish], told: Iterator[tuple[int, str | Answer]], with_usage: bool
) -> Iterator[dict[str, Any]]:
    """The same piece by piece, as the engine tells it: who speaks, the text as it grows, why it ended, perhaps the usage."""
    same = head(name, "chat.completion.chunk") | ({"usage": None} if with_usage else {})
    piece = lambda i, delta, finish: same | {"choices": [{"index": i, "delta": delta, "finish_reason": finish}]}
    answers = []
    for i in range(len(wished)):
        yield piece(i, {"role": "assistant", "content": ""}, None)
    for i, item in told:
        if isinstance(item, Answer):
            answers.append(item)
            yield piece(i, {}, item.finish)
        else:
            yield piece(i, {"content": item}, None)
    if with_usage:
        yield same | {"choices": [], "usage": usage(wished, answers)}


class Handler(BaseHTTPRequestHandler):
    """One connection; `server` has the engine, the policy's name and the context."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # the pieces of a stream are small and must not wait for each other
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
        engine = self.server.engine
        try:
            body = self._body()
            stream, with_usage = flag(body, "stream"), usage_wanted(body)
            wished = wishes(engine.served, engine.context, body, stream)
        except BadRequest as error:
            return self._refuse(400, str(error))
        try:
            for wish in wished:
                engine.ask(wish)
            if stream:
                self._stream(chunks(self.server.model, wished, self._told(wished), with_usage))
            else:
                answers = dict(self._told(wished))
                self._send(200, completion(self.server.model, wished, [answers[i] for i in range(len(wished))]))
        except EngineError as error:  # the client is told, the server goes on
            self._refuse(500, str(error))
        finally:
            for wish in wished:
                wish.gone.set()

    def _told(self, wished: Sequence[Wish]) -> Iterator[tuple[int, Any]]:
        """(choice, text or answer) as the engine tells it; raises `EngineError`, or `ConnectionError` if nobody listens."""
        left = len(wished)
        while left:
            try:
                i, item = wished[0].told.get(timeout=PATIENCE)
            except queue.Empty:
                if self._alone():
                    raise ConnectionAbortedError("the client has gone") from None
                continue
            if isinstance(item, Exception):
                raise EngineError(f"{type(item).__name__}: {item}")
            left -= isinstance(item, Answer)
            yield i, item

    def _alone(self) -> bool:
        """Whether the client has closed the connection."""
        self.connection.settimeout(0)
        try:
            return not self.connection.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        finally:
            self.connection.settimeout(None)

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
        self._send(status, refusal(status, message))

    def _send(self, status: int, body: Mapping[str, Any]) -> None:
        raw = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def _stream(self, pieces: Iterator[dict[str, Any]]) -> None:
        """Server-sent events; an error of the engine is the last of them."""
        self.close_connection = True
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        try:
            for piece in pieces:
                self._event(json.dumps(piece))
        except EngineError as error:
            return self._event(json.dumps(refusal(500, str(error))))
        self._event("[DONE]")

    def _event(self, data: str) -> None:
        self.wfile.write(f"data: {data}\n\n".encode())

    def log_message(self, format: str, *args: Any) -> None:
        """Not a line for every request."""


class EngineError(RuntimeError):
    """The engine could not answer."""


def refusal(status: int, message: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error" if status < 500 else "server_error"}}


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
