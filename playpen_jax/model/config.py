"""What a decoder is made of: one frozen record, from which every shape follows."""

import dataclasses
import typing
from collections.abc import Mapping
from typing import Any, Literal

DTYPES = ("float32", "bfloat16")
HOW = ("dtype", "remat", "attention", "context", "lora", "base")  # fields that do not tell one model from another
BIASED = ("q", "k", "v", "o", "gate", "up", "down")  # the projections that may carry a bias

# what mixes the tokens in a layer: attention to all tokens before, to the newest `window` of them, to all of them without
# rotary positions, or the gated delta rule
Kind = Literal["full", "window", "nope", "delta"]


@dataclasses.dataclass(frozen=True)
class LinearRope:
    """Divides all rotary frequencies by one factor."""

    factor: float


@dataclasses.dataclass(frozen=True)
class DynamicRope:
    """Raises the rotary base by a power of the context, once that is longer than `max_positions`; up to there it is plain."""

    growth: float  # of the context; not named as in LinearRope, from which its JSON is to be told


@dataclasses.dataclass(frozen=True)
class Llama3Rope:
    """Stretches slow rotary frequencies beyond the context they were trained for, as Llama 3.1 does."""

    factor: float
    low_freq_factor: float
    high_freq_factor: float
    original_max_positions: int


@dataclasses.dataclass(frozen=True)
class YarnRope:
    """Stretches slow frequencies by a ramp over the pairs, and scales cosines and sines (YaRN, arXiv 2309.00071)."""

    factor: float
    original_max_positions: int
    attention_factor: float  # of cosines and sines
    beta_fast: float = 32.0  # pairs that turn more often than this in the original context are kept
    beta_slow: float = 1.0  # those that turn less often than this are stretched by `factor`
    truncate: bool = True  # the ramp begins and ends at whole pairs


@dataclasses.dataclass(frozen=True)
class LongRope:
    """Divides each frequency by a factor of its own, and scales cosines and sines (LongRoPE, arXiv 2402.13753).

    `long` is for contexts beyond the original one.
    """

    short: tuple[float, ...]  # a factor for each rotated pair
    long: tuple[float, ...]
    original_max_positions: int
    attention_factor: float  # of cosines and sines


RopeScaling = LinearRope | DynamicRope | Llama3Rope | YarnRope | LongRope


@dataclasses.dataclass(frozen=True)
class Delta:
    """Sizes of the layers that mix by the gated delta rule (arXiv 2412.06464)."""

    key_heads: int  # J
    value_heads: int  # M, a multiple of J
    key_dim: int  # X
    value_dim: int  # Y
    taps: int  # W, width of the causal convolution over queries, keys and values


@dataclasses.dataclass(frozen=True)
class Experts:
    """A feed-forward block of many experts, a few of which are asked for each token."""

    count: int  # E
    active: int  # experts asked for a token
    normalised: bool  # the weights of those asked sum to one


@dataclasses.dataclass(frozen=True)
class Lora:
    """Low-rank adapters beside some projections (LoRA, arXiv 2106.09685)."""

    rank: int  # R
    alpha: float  # an adapter's output is multiplied by alpha / R
    targets: tuple[str, ...]  # the projections, by our names, such as "q"
    dropout: float = 0.0  # of what an adapter reads, in training

    def __post_init__(self):
        if self.rank < 1 or not 0 <= self.dropout < 1 or not self.targets:
            raise ValueError(f"adapters cannot have {self}")
        object.__setattr__(self, "targets", tuple(sorted(self.targets)))

    @property
    def scale(self) -> float:
        return self.alpha / self.rank


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """A decoder of one family; hashable, so static under jit. Raises `ValueError` where the numbers do not fit together."""

    family: str  # key of families.FAMILIES
    vocab: int  # V
    dim: int  # D, width of the residual stream
    layers: int  # L
    heads: int  # N, query heads
    kv_heads: int  # K, key and value heads; N is a multiple of K
    head_dim: int  # H, even
    mlp: int  # F, hidden width of the feed-forward block, or of each of its experts
    rope_theta: float = 10_000.0
    rope_scaling: RopeScaling | None = None
    norm_eps: float = 1e-5
    tied: bool = True  # the head is the embedding
    max_positions: int = 2048  # the longest context the weights were made for; nothing here enforces it
    biases: tuple[str, ...] = ()  # some of BIASED
    dtype: str = "float32"  # computing type; the weights may be kept in another
    remat: Literal["all", "dots", "none"] = "all"  # what a layer computes again on the way back: all, all but products, nothing
    attention: Literal["plain", "splash", "cudnn"] = "plain"  # how whole rows attend: by XLA, or by a kernel for TPUs or GPUs
    kinds: tuple[Kind, ...] = ()  # of each layer; (): all "full"
    window: int = 0  # newest tokens that a "window" layer sees, its own among them
    window_theta: float | None = None  # rotary base of "window" layers, without scaling; None: rotated like the others
    rotary: int | None = None  # leading places of a head that are rotated; None: all
    norms: Literal["before", "after", "both"] = "before"  # where attention and feed-forward are normed
    norm_offset: float = 0.0  # added to the scales of the norms
    qk_norm: Literal["none", "head", "all"] = "none"  # norm of queries and keys: none, head by head, all heads at once
    gated: bool = False  # attention's output is gated, head by head and place by place
    activation: Literal["silu", "gelu_tanh"] = "silu"
    query_scale: float | None = None  # of attention's scores; None: H ** -0.5
    score_cap: float | None = None  # attention's scores are squashed into -cap .. cap
    logit_cap: float | None = None  # and so are the logits
    embed_scale: float = 1.0  # of the embedding where it is read
    delta: Delta | None = None  # sizes of "delta" layers
    experts: Experts | None = None  # None: one feed-forward block for all tokens
    context: int = 0  # tokens that rotary scaling by length is set for, by `within`; up to the original context it is idle
    lora: Lora | None = None  # None: no adapters
    base: Literal["int8", "nf4"] | None = None  # what projections are kept in, frozen; None: in the type of the weights

    def __post_init__(self):
        if problems := [*self._sizes(), *self._layers()]:
            raise ValueError("; ".join(problems))
        object.__setattr__(self, "kinds", self.kinds or ("full",) * self.layers)

    @property
    def plain(self) -> "ModelConfig":
        """The model alone: without adapters, in float32, and nothing said about how it is computed."""
        own: dict[str, Any] = {field.name: field.default for field in dataclasses.fields(self) if field.name in HOW}
        return dataclasses.replace(self, **own)

    def within(self, context: int) -> "ModelConfig":
        """The model for dialogues of up to `context` tokens, or as many as it was set for before.

        Rotary scaling by length follows this one number and not the length of each dialogue: keys in a cache were turned
        when their dialogue was short, and training and sampling have to agree.
        """
        original = getattr(self.rope_scaling, "original_max_positions", self.max_positions)
        follows = isinstance(self.rope_scaling, DynamicRope | LongRope)
        return dataclasses.replace(self, context=context) if follows and context > max(original, self.context) else self

    def _sizes(self) -> list[str]:
        problems = [f"{name} is {getattr(self, name)}" for name in ("vocab", "dim", "layers", "mlp") if getattr(self, name) < 1]
        if self.kv_heads < 1 or self.heads < 1 or self.heads % self.kv_heads:
            problems.append(f"{self.heads} query heads cannot share {self.kv_heads} kv heads")
        if self.head_dim < 2 or self.head_dim % 2:
            problems.append(f"head_dim {self.head_dim} is not even")
        if self.rotary is not None and (self.rotary % 2 or not 0 < self.rotary <= self.head_dim):
            problems.append(f"{self.rotary} of {self.head_dim} places of a head cannot be rotated in pairs")
        if self.dtype not in DTYPES:
            problems.append(f"dtype {self.dtype!r} is not one of {', '.join(DTYPES)}")
        if unknown := [name for name in self.biases if name not in BIASED]:
            problems.append(f"no bias for {', '.join(unknown)}: only for {', '.join(BIASED)}")
        if self.base not in (None, "int8", "nf4"):
            problems.append(f"weights cannot be kept in {self.base!r}: int8 or nf4")
        if self.experts and not 0 < self.experts.active <= self.experts.count:
            problems.append(f"{self.experts.active} of {self.experts.count} experts cannot be asked")
        return problems

    def _layers(self) -> list[str]:
        problems = []
        if self.kinds and len(self.kinds) != self.layers:
            problems.append(f"{len(self.kinds)} kinds for {self.layers} layers")
        if unknown := sorted(set(self.kinds) - set(typing.get_args(Kind))):
            problems.append(f"no layers of kind {', '.join(unknown)}: only {', '.join(typing.get_args(Kind))}")
        if "window" in self.kinds and self.window < 1:
            problems.append(f"a window of {self.window} tokens")
        if "delta" in self.kinds and self.delta is None:
            problems.append("delta layers without their sizes")
        if self.delta and (min(dataclasses.astuple(self.delta)) < 1 or self.delta.value_heads % self.delta.key_heads):
            problems.append(f"delta layers cannot have {self.delta}")
        return problems

    @property
    def period(self) -> int:
        """After how many layers the kinds repeat; the last repetition may be cut short."""
        return next(p for p in range(1, self.layers + 1) if all(k == self.kinds[i % p] for i, k in enumerate(self.kinds)))


PARTS = {"delta": (Delta,), "experts": (Experts,), "lora": (Lora,), "rope_scaling": typing.get_args(RopeScaling)}


def config_from_json(data: Mapping[str, Any]) -> ModelConfig:
    """The config that `dataclasses.asdict` turned into JSON."""
    tuples = lambda data: {name: tuple(value) if isinstance(value, list) else value for name, value in data.items()}
    fields: dict[str, Any] = tuples(data)
    for name, classes in PARTS.items():
        if part := fields.get(name):
            cls = next(x for x in classes if {f.name for f in dataclasses.fields(x)} == set(part))
            fields[name] = cls(**tuples(part))
    return ModelConfig(**fields)
