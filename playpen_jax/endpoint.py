"""A partner behind an OpenAI-compatible chat endpoint (vLLM, SGLang, llama.cpp, `playpen_jax.serve`, a hosted model).

Requests run beside each other in threads, at most `concurrency` at once. What may pass (no connection, a timeout, status 408,
429 or 5xx, a reply cut short or garbled) is tried again with growing, jittered pauses; another 4xx fails at once.
"""

from __future__ import annotations

import dataclasses
import http.client
import json
import os
import random
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

Message = dict[str, str]  # role and content
PASSING = (408, 409, 425, 429)  # besides 5xx
LONGEST = 64 << 20  # bytes of a reply that are read


class EndpointError(RuntimeError):
    """The endpoint gave no reply; the message says in one line which one and why."""


@dataclasses.dataclass
class Counts:
    """What the requests came to."""

    replies: int = 0
    retries: int = 0
    failures: int = 0


class Endpoint:
    """`http(s)://HOST[:PORT]/v1` and the model's name there; the key is read from the environment variable `key`.

    timeout: seconds of one try; tries: at most so many of a request; pause: seconds before the second, doubled each time.
    """

    def __init__(
        self,
        url: str,
        model: str = "default",
        *,
        concurrency: int = 16,
        timeout: float = 120.0,
        tries: int = 5,
        pause: float = 1.0,
        key: str = "OPENAI_API_KEY",
        sleep: Callable[[float], None] = time.sleep,
    ):
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).netloc:
            raise ValueError(f"{url!r} is no address of an endpoint: http(s)://HOST[:PORT]/v1 is wanted")
        self.url, self.model, self.timeout, self.tries, self.pause, self.key = (
            url.rstrip("/"),
            model,
            timeout,
            tries,
            pause,
            key,
        )
        self.counts, self._sleep = Counts(), sleep
        self._pool = ThreadPoolExecutor(concurrency, thread_name_prefix="endpoint")

    @classmethod
    def of(cls, spec: str, **settings: Any) -> Endpoint:
        """The endpoint written as `URL#MODEL`; raises `ValueError` for anything else."""
        url, _, name = spec.partition("#")
        return cls(url, name or "default", **settings)

    def submit(
        self, dialogue: Sequence[Message], max_tokens: int, temperature: float = 1.0, seed: int | None = None
    ) -> Future[str]:
        """The reply to a dialogue, as a future; its exception is an `EndpointError`."""
        body = {"model": self.model, "messages": list(dialogue), "max_tokens": max_tokens, "temperature": temperature}
        return self._pool.submit(self._ask, body if seed is None else body | {"seed": seed})

    def close(self) -> None:
        """Give up what has not begun; what is under way ends by its timeout."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _ask(self, body: dict) -> str:
        rng, why = random.Random(f"{time.monotonic_ns()}"), ""
        for number in range(self.tries):
            try:
                text = self._once(body)
                self.counts.replies += 1
                return text
            except _Passing as passing:
                why = str(passing)
                if number + 1 < self.tries:
                    self.counts.retries += 1
                    self._sleep(passing.after or self.pause * 2**number * rng.uniform(0.5, 1.0))
            except EndpointError:
                self.counts.failures += 1
                raise
        self.counts.failures += 1
        raise EndpointError(f"{self.url}: no reply in {self.tries} tries, the last: {why}")

    def _once(self, body: dict) -> str:
        """One try; raises `_Passing` for what may be otherwise next time."""
        headers = {"Content-Type": "application/json"}
        if os.environ.get(self.key):
            headers["Authorization"] = f"Bearer {os.environ[self.key]}"
        request = urllib.request.Request(f"{self.url}/chat/completions", json.dumps(body).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=self.timeout) as reply:
                raw = reply.read(LONGEST + 1)
        except urllib.error.HTTPError as error:
            told = " ".join(error.read(2000).decode("utf-8", "replace").split())[:200]
            if error.code in PASSING or error.code >= 500:
                raise _Passing(f"status {error.code} {told}", _seconds(error.headers.get("Retry-After"))) from None
            raise EndpointError(f"{self.url}: status {error.code} {told}") from None
        except (OSError, http.client.HTTPException) as error:  # no connection, a timeout, a reply cut short
            raise _Passing(f"{type(error).__name__}: {error}") from None
        return _text(raw)


class _Passing(Exception):
    """A failure that may pass; `after`: the seconds that the endpoint asks to wait."""

    def __init__(self, why: str, after: float | None = None):
        super().__init__(why)
        self.after = after


def _text(raw: bytes) -> str:
    """The reply in the body of a chat completion; null content is an empty reply."""
    try:
        if len(raw) > LONGEST:
            raise ValueError("it is too long")
        content = json.loads(raw)["choices"][0]["message"]["content"]
        if not isinstance(content, str | None):
            raise TypeError("its content is not text")
    except (ValueError, LookupError, TypeError) as error:
        raise _Passing(f"not a chat completion ({type(error).__name__}: {error})") from None
    return content or ""


def _seconds(text: str | None) -> float | None:
    """A Retry-After header in seconds, at most five minutes; a date is not worth parsing."""
    try:
        return min(max(float(text), 0.0), 300.0) if text else None
    except ValueError:
        return None
