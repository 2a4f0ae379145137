"""A policy as a model of lm-evaluation-harness (package `lm_eval`), so that its tasks run on it.

    lm_eval.simple_evaluate(model=harness_model(pp.load(PATH)), tasks=["winogrande"])

Log-likelihoods go through the device in batches of like length, replies through the sampler; both run where the weights lie.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Float, Int
from tqdm import tqdm

from playpen_jax import model, sharding
from playpen_jax.policy import Policy
from playpen_jax.rollout import token_key
from playpen_jax.sampler.sample import Sampling
from playpen_jax.sampler.sampler import Sampler

CHUNK = 128  # places of a row whose logits are in memory at once
PIECE = 32  # tokens of a reply before it is first looked at for a text that ends it
REPLY = 256  # tokens of a reply where the task does not say


@partial(jax.jit, static_argnums=0)
def scores(
    c: model.ModelConfig, params: Any, tokens: Int[Array, "B T"], targets: Int[Array, "B T"], mask: Bool[Array, "B T"]
) -> tuple[Float[Array, "B"], Bool[Array, "B"]]:
    """Sum of the log-probabilities (nats) of the targets where `mask` is, and whether each of them is the likeliest token."""
    positions = jnp.broadcast_to(jnp.arange(tokens.shape[1]), tokens.shape)
    x = model.hidden(c, params, tokens, positions, jnp.ones_like(tokens))

    def add(sums, part):
        x, targets, mask = part
        logits = model.logits(c, params, x)
        logps = jnp.take_along_axis(jax.nn.log_softmax(logits), targets[..., None], -1)[..., 0]
        total, greedy = sums
        return (total + (logps * mask).sum(1), greedy & ((logits.argmax(-1) == targets) | ~mask).all(1)), None

    def cut(array):
        return jnp.moveaxis(array.reshape(array.shape[0], -1, CHUNK, *array.shape[2:]), 1, 0)

    start = jnp.zeros(len(tokens)), jnp.ones(len(tokens), bool)
    return jax.lax.scan(add, start, (cut(x), cut(targets), cut(mask)))[0]


def length(n: int) -> int:
    """The padded length of a row: few shapes to compile."""
    return max(CHUNK, 1 << (n - 1).bit_length())


def score_rows(
    policy: Policy, pairs: Sequence[tuple[list[int], list[int]]], rows: int, context: int, mesh: Mesh | None = None
) -> Iterator[tuple[int, float, bool]]:
    """(number of the pair, sum of log-probabilities, greedy) for pairs of (ids before, ids to score), longest first.

    A pair with more than `context` + 1 ids loses the first ones. mesh: the rows are spread over its data axes.
    """
    cut = {i: (before + scored)[-context - 1 :] for i, (before, scored) in enumerate(pairs)}
    order = sorted(cut, key=lambda i: -len(cut[i]))
    for start in range(0, len(order), rows):
        some = order[start : start + rows]
        width = length(len(cut[some[0]]) - 1)
        tokens, targets = np.zeros((rows, width), np.int32), np.zeros((rows, width), np.int32)
        mask = np.zeros((rows, width), bool)
        for row, i in enumerate(some):
            n, scored = len(cut[i]) - 1, len(pairs[i][1])
            tokens[row, :n], targets[row, :n] = cut[i][:-1], cut[i][1:]
            mask[row, max(n - scored, 0) : n] = True
        batch = (tokens, targets, mask) if mesh is None else jax.device_put((tokens, targets, mask), sharding.rows(mesh))
        sums, greedy = jax.device_get(scores(policy.config, policy.params, *batch))
        yield from zip(some, sums.tolist(), greedy.tolist())


def ended(text: str, until: Sequence[str]) -> str | None:
    """The text before the first of the texts that end it; None if there is none in it."""
    places = [place for stop in until if stop and (place := text.find(stop)) >= 0]
    return text[: min(places)] if places else None


def write(
    policy: Policy, sampler: Sampler, prompts: Mapping[int, list[int]], until: Sequence[str], most: int, seed: int
) -> Iterator[tuple[int, str]]:
    """(number, reply) for each prompt, as each ends: by a stop token, by one of the texts in `until`, or after `most` tokens.

    Replies are written in pieces that grow, so that one which has ended is not written on for long.
    """
    said: dict[int, list[int]] = {i: [] for i in prompts}
    waiting = list(prompts)[::-1]
    speaking: dict[int, int] = {}

    while waiting or speaking:
        while waiting and (row := sampler.take()) is not None:
            i = waiting.pop()
            budget = min(max(PIECE, len(said[i])), most - len(said[i]))
            sampler.feed(row, prompts[i] + said[i], token_key(str(seed), i, "reply", len(said[i])), budget)
            speaking[row] = i
        for reply in sampler.run():
            i = speaking.pop(reply.row)
            said[i] += reply.ids
            sampler.drop(reply.row)
            text = policy.speech.text(said[i])
            cut = ended(text, until)
            if cut is None and reply.stop == "length" and len(said[i]) < most:
                waiting.append(i)
            else:
                yield i, text if cut is None else cut


def harness_model(
    policy: Policy, rows: int = 16, context: int = 2048, add_bos: bool = False, mesh: Mesh | None = None, seed: int = 0
):
    """The policy as an `lm_eval.api.model.LM`.

    rows: requests on the device at once; context: tokens of a request, longer ones lose their beginning; add_bos: the prompt
    begins with the start token, as the weights of some families want it (`add_bos_token` of lm_eval's own models); mesh: where
    weights and requests are spread.
    """
    from lm_eval.api.model import TemplateLM  # the `lm_eval` extra
    from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

    if policy.chat is None:
        raise ValueError(f"{policy.folder}: no tokenizer, so texts cannot be scored")
    if mesh is not None and rows % (mesh.shape["data"] * mesh.shape["fsdp"]):
        raise ValueError(f"{rows} rows do not divide by the {mesh.shape['data'] * mesh.shape['fsdp']} data shards of the mesh")
    if mesh is not None:
        weights = sharding.shardings(model.logical_axes(policy.config), policy.params, mesh)
        policy = dataclasses.replace(policy, params=jax.device_put(policy.params, weights))
    policy = dataclasses.replace(policy, config=policy.config.within(context))
    chat = policy.speech
    start = [chat.tokenizer.specials.get(chat.tokenizer.bos or "", chat.end)]

    class PolicyModel(TemplateLM):
        tokenizer_name = str(policy.folder)
        tokenizer = None  # it has no template for lm_eval: prompts are plain text
        max_length = context
        eot_token_id = chat.end
        prefix_token_id = start[0]

        def tok_encode(self, string: str, add_special_tokens: bool | None = None, **kwargs: Any) -> list[int]:
            with_start = add_bos if add_special_tokens is None else add_special_tokens
            return start * with_start + chat.tokenizer.encode(string)

        def _loglikelihood_tokens(self, requests: Sequence[tuple], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
            found: list[Any] = [None] * len(requests)
            pairs = [(before, scored) for _, before, scored in requests]
            bar = tqdm(total=len(pairs), desc="log-likelihoods", unit="request", disable=disable_tqdm or None)
            for i, total, greedy in score_rows(policy, pairs, rows, context, mesh):
                found[i] = total, greedy
                if requests[i][0] is not None:
                    self.cache_hook.add_partial("loglikelihood", requests[i][0], found[i])
                bar.update()
            bar.close()
            return found

        def loglikelihood_rolling(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[float]:
            sums, windows, owner = [0.0] * len(requests), [], []
            for i, (string,) in enumerate(request.args for request in requests):
                ids = chat.tokenizer.encode(string)
                cut = get_rolling_token_windows(ids, prefix_token=start[0], max_seq_len=context, context_len=1)
                pairs = list(map(make_disjoint_window, cut))
                windows += [(None, before, scored) for before, scored in pairs]
                owner += [i] * len(pairs)
            for i, (total, _) in zip(owner, self._loglikelihood_tokens(windows, disable_tqdm)):
                sums[i] += total
            for request, total in zip(requests, sums):
                self.cache_hook.add_partial("loglikelihood_rolling", request.args, total)
            return sums

        def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[str]:
            found: list[Any] = [None] * len(requests)
            groups: dict[tuple, dict[int, list[int]]] = {}
            for i, (text, settings) in enumerate(request.args for request in requests):
                how, until, most = generation(settings, context)
                groups.setdefault((how, until, most), {})[i] = self.tok_encode(text)[-(context - most) :] or start
            bar = tqdm(total=len(requests), desc="replies", unit="request", disable=disable_tqdm or None)
            for (how, until, most), prompts in groups.items():
                sampler = Sampler(policy.config, rows, context, how, chat.stops, mesh=mesh)
                sampler.load(policy.params)
                for i, reply in write(policy, sampler, prompts, until, most, seed):
                    found[i] = reply
                    self.cache_hook.add_partial("generate_until", requests[i].args, reply)
                    bar.update()
            bar.close()
            return found

    return PolicyModel()


def generation(settings: Mapping[str, Any], context: int) -> tuple[Sampling, tuple[str, ...], int]:
    """Sampling, ending texts and the most tokens of a request's `generation_kwargs`; greedy unless they ask for more."""
    until = settings.get("until") or ()
    until = (until,) if isinstance(until, str) else tuple(until)
    warm = settings.get("do_sample", float(settings.get("temperature", 0)) > 0)
    how = Sampling(float(settings.get("temperature", 1.0)) if warm else 0.0)
    if warm:
        how = Sampling(how.temperature, int(settings.get("top_k", 0)), float(settings.get("top_p", 1.0)))
    most = int(settings.get("max_gen_toks", settings.get("max_new_tokens", REPLY)))
    if not 0 < most < context:
        raise ValueError(f"max_gen_toks={most}: a reply has at least 1 token and fits a context of {context}")
    return how, until, most
