"""What a decoder is made of: one frozen record, from which every shape follows."""

import dataclasses

DTYPES = ("float32", "bfloat16")
BIASED = ("q", "k", "v", "o", "gate", "up", "down")  # the projections that may carry a bias


@dataclasses.dataclass(frozen=True)
class Llama3Rope:
    """Stretches slow rotary frequencies beyond the context they were trained for, as Llama 3.1 does."""

    factor: float
    low_freq_factor: float
    high_freq_factor: float
    original_max_positions: int


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
    mlp: int  # F, hidden width of the feed-forward block
    rope_theta: float = 10_000.0
    rope_scaling: Llama3Rope | None = None
    norm_eps: float = 1e-5
    tied: bool = True  # the head is the embedding
    max_positions: int = 2048  # the longest context the weights were made for; nothing here enforces it
    biases: tuple[str, ...] = ()  # some of BIASED
    dtype: str = "float32"  # computing type; the weights may be kept in another

    def __post_init__(self):
        problems = [f"{name} is {getattr(self, name)}" for name in ("vocab", "dim", "layers", "mlp") if getattr(self, name) < 1]
        if self.kv_heads < 1 or self.heads < 1 or self.heads % self.kv_heads:
            problems.append(f"{self.heads} query heads cannot share {self.kv_heads} kv heads")
        if self.head_dim < 2 or self.head_dim % 2:
            problems.append(f"head_dim {self.head_dim} is not even")
        if self.dtype not in DTYPES:
            problems.append(f"dtype {self.dtype!r} is not one of {', '.join(DTYPES)}")
        if unknown := [name for name in self.biases if name not in BIASED]:
            problems.append(f"no bias for {', '.join(unknown)}: only for {', '.join(BIASED)}")
        if problems:
            raise ValueError("; ".join(problems))
