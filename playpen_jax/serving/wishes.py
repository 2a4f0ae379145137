"""What clients ask for: the body of a chat completion, checked, as requests to the engine."""

from __future__ import annotations

import dataclasses
import queue
import threading
import time
from collections.abc import Mapping
from typing import Any

from playpen_jax import policy
from playpen_jax.sampler.sample import Sampling

MOST = 256  # tokens of a reply to a client that does not say


class BadRequest(ValueError):
    """What a client asked for cannot be answered; the message says why."""


@dataclasses.dataclass(frozen=True)
class Answer:
    text: str
    finish: str  # "stop" or "length"
    tokens: int


@dataclasses.dataclass(frozen=True, eq=False)
class Wish:
    """A request: the dialogue's tokens and how it is to be answered; `stops`: texts at which the reply is cut.

    told: (index, item) of all requests of a body: pieces of text where they are wanted at once (`stream`), and at the end an
    answer or an exception. gone: nobody waits for it any longer.
    """

    index: int
    ids: tuple[int, ...]
    how: Sampling
    max_tokens: int
    seed: int
    stops: tuple[str, ...]
    stream: bool
    told: queue.SimpleQueue[tuple[int, str | Answer | Exception]]
    gone: threading.Event = dataclasses.field(default_factory=threading.Event)

    def tell(self, item: str | Answer | Exception) -> None:
        self.told.put((self.index, item))


def wishes(served: policy.Policy, context: int, body: Mapping[str, Any], stream: bool = False) -> list[Wish]:
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
        ids = served.speech.dialogue([{"role": m["role"], "content": m["content"]} for m in messages])[0].tolist()
    except (ValueError, KeyError) as error:
        raise BadRequest(f"messages: {error}") from None
    if len(ids) >= context:
        raise BadRequest(f"the messages are {len(ids)} tokens long, the context is {context}")
    how = _sampling(body)
    stops = body.get("stop") or ()
    stops = (stops,) if isinstance(stops, str) else tuple(stops)
    if not all(isinstance(text, str) and text for text in stops):
        raise BadRequest("'stop' must be a text or a list of texts")
    n, seed = _whole(body, "n", 1, 128) or 1, _whole(body, "seed")
    most = _whole(body, "max_completion_tokens", 1) or _whole(body, "max_tokens", 1) or MOST
    first = time.time_ns() if seed is None else seed
    told: queue.SimpleQueue[tuple[int, str | Answer | Exception]] = queue.SimpleQueue()
    return [Wish(i, tuple(ids), how, most, first + i, stops, stream, told) for i in range(n)]


def flag(body: Mapping[str, Any], name: str) -> bool:
    """True or false, which is the default; raises `BadRequest` for anything else."""
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        raise BadRequest(f"{name!r} must be true or false, not {value!r}")
    return bool(value)


def usage_wanted(body: Mapping[str, Any]) -> bool:
    """Whether a stream is to end with its usage; raises `BadRequest`."""
    options = body.get("stream_options")
    if options is None:
        return False
    if not isinstance(options, dict) or not flag(body, "stream"):
        raise BadRequest("'stream_options' must be an object, and is for 'stream': true")
    return flag(options, "include_usage")


def _sampling(body: Mapping[str, Any]) -> Sampling:
    try:
        given = [
            float(body[k]) if body.get(k) is not None else default for k, default in (("temperature", 1.0), ("top_p", 1.0))
        ]
        return Sampling(given[0], _whole(body, "top_k", 0) or 0, given[1])
    except (TypeError, ValueError) as error:
        raise BadRequest(f"temperature, top_p: {error}") from None


def _whole(body: Mapping[str, Any], name: str, least: int | None = None, most: int | None = None) -> int | None:
    """The whole number of this name, None where the body has none; raises `BadRequest` for one out of bounds."""
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or (least is not None and value < least):
        raise BadRequest(f"{name!r} must be a whole number{'' if least is None else f' from {least} on'}, not {value!r}")
    if most is not None and value > most:
        raise BadRequest(f"{name!r} is at most {most}")
    return value
