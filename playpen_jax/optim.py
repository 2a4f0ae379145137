"""The optimizer: AdamW behind a global-norm clip, with a schedule; its state lies like the weights."""

from __future__ import annotations

from typing import Any

import jax
import optax

from playpen_jax import config as configs
from playpen_jax import sharding


def schedule(settings: configs.Optim, updates: int) -> optax.Schedule:
    """Learning rate as a function of the number of updates made."""
    rest = max(updates - settings.warmup, 1)
    shapes = {
        "constant": optax.constant_schedule(settings.learning_rate),
        "linear": optax.linear_schedule(settings.learning_rate, 0.0, rest),
        "cosine": optax.cosine_decay_schedule(settings.learning_rate, rest),
    }
    if not settings.warmup:
        return shapes[settings.schedule]
    rise = optax.linear_schedule(settings.learning_rate / settings.warmup, settings.learning_rate, settings.warmup)
    return optax.join_schedules([rise, shapes[settings.schedule]], [settings.warmup])


def make(settings: configs.Optim, updates: int) -> optax.GradientTransformation:
    """Clip, then AdamW; weight decay leaves norms and biases alone."""
    adam = optax.adamw(
        schedule(settings, updates),
        b1=settings.b1,
        b2=settings.b2,
        weight_decay=settings.weight_decay,
        mask=lambda params: jax.tree.map_with_path(lambda path, x: _decays(jax.tree_util.keystr(path)), params),
    )
    return optax.chain(optax.clip_by_global_norm(settings.clip), adam) if settings.clip else adam


def _decays(name: str) -> bool:
    return "norm" not in name and "bias" not in name


def state_shardings(tx: optax.GradientTransformation, params: Any, param_shardings: Any, mesh: sharding.AnyMesh) -> Any:
    """Where the optimizer's state lies: moments like their weights, counters everywhere."""
    state = jax.eval_shape(tx.init, params)
    everywhere = sharding.replicated(mesh)
    return optax.tree_utils.tree_map_params(
        tx, lambda _, at: at, state, param_shardings, transform_non_params=lambda _: everywhere
    )
