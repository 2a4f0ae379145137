"""Every setting once: its type, its default, one line of documentation."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal


def setting(default: Any, doc: str) -> Any:
    """One documented setting."""
    return dataclasses.field(default=default, metadata={"doc": doc})


def section(cls: type, doc: str) -> Any:
    return dataclasses.field(default_factory=cls, metadata={"doc": doc})


@dataclasses.dataclass(frozen=True)
class Model:
    path: str | None = setting("tiny", "Hugging Face folder, checkpoint, or 'tiny'; None: fresh weights of the shape below")
    tokenizer: str | None = setting(None, "folder or file of a tokenizer for fresh weights; None: train one on the data")
    vocab: int = setting(2048, "vocabulary of a fresh model (and of the tokenizer trained for it)")
    dim: int = setting(256, "width D of a fresh model")
    layers: int = setting(4, "depth L of a fresh model")
    heads: int = setting(8, "query heads N of a fresh model")
    kv_heads: int = setting(2, "key and value heads K of a fresh model")
    mlp: int = setting(768, "hidden width F of the feed-forward block of a fresh model")
    dtype: str = setting("auto", "computing type: float32, bfloat16, or auto (bfloat16 on accelerators)")
    remat: Literal["all", "dots", "none"] = setting(
        "all", "what a layer computes again on the way back to save memory: all, all but matrix products, nothing"
    )
    attention: Literal["auto", "plain", "splash", "cudnn"] = setting(
        "auto", "how whole rows attend: by XLA, or by a kernel for TPUs (splash) or GPUs (cudnn); auto: splash on TPUs"
    )


@dataclasses.dataclass(frozen=True)
class Lora:
    rank: int = setting(0, "rank of low-rank adapters, which are trained in place of the weights; 0: all weights are trained")
    alpha: float = setting(16.0, "what an adapter writes is multiplied by alpha / rank")
    dropout: float = setting(0.0, "share of what an adapter reads that is dropped in training")
    target: str = setting(
        r".*_proj.*", "regular expression of the modules that get one, by their names in a layer, such as self_attn.q_proj"
    )
    base: Literal["plain", "int8", "nf4"] = setting("plain", "what the projections of the frozen weights are kept in")


@dataclasses.dataclass(frozen=True)
class Rollout:
    rows: int = setting(64, "dialogues that speak at once")
    dialogues: int = setting(0, "dialogues that are begun at once, more than rows so that none waits; 0: four times the rows")
    pages: int = setting(0, "pages of 32 tokens for what they have seen and said; 0: what twice the rows can fill")
    cohorts: int = setting(1, "parts of the rows that take turns, so that the host plays while the device works")
    context: int = setting(512, "tokens a dialogue may have; an episode that needs more stops with 'context'")
    max_tokens: int = setting(48, "tokens of one reply; a reply cut there is played as it is, with stop 'length'")
    max_turns: int = setting(40, "replies of one episode; more stop it with 'turns'")
    temperature: float = setting(1.0, "sampling temperature; 0 is greedy")
    top_k: int = setting(0, "sample among the k likeliest tokens; 0 = all")
    top_p: float = setting(1.0, "sample among the likeliest tokens that hold this probability; 1 = all")
    chunk: int = setting(4, "decode steps between two looks of the host")
    patience: float = setting(1800.0, "seconds without an episode's end after which those under way are given up; 0: never")


@dataclasses.dataclass(frozen=True)
class Grpo:
    variant: Literal["grpo", "grpo_tokens", "dr_grpo", "dapo", "gspo", "cispo", "rloo", "reinforce", "rae"] = setting(
        "grpo_tokens", "a row of the table in losses/grpo.py; it sets what is None below"
    )
    instances: int = setting(16, "instances (groups) drawn per step")
    plays: int = setting(8, "plays G of each instance")
    reward: Literal["score", "success", "penalty", "shaped"] = setting(
        "score", "score: official score / 100, abort 0 (the paper's); success; penalty for own aborts; shaped by progress"
    )
    role_rewards: tuple[str, ...] = setting((), "other rewards for single roles, as game.seat=reward")
    share: Literal["own", "team"] = setting("own", "a seat earns its own reward, or the mean of the learner's seats")
    credit: Literal["episode", "turns", "fork"] = setting(
        "episode", "who earned it: the whole play, each reply by what came after it, or all from one sampled turn on"
    )
    discount: float = setting(1.0, "what a reward is worth one reply earlier, with credit=turns")
    advantage: Literal["group", "centred", "leave_one_out", "batch", "role"] | None = setting(
        None,
        "(R - mean) / std of the plays, R - mean, R - mean of the others, R - mean of the batch, R - running mean of the role",
    )
    ratio: Literal["token", "turn", "sequence"] | None = setting(None, "policy over sampler of a token, a reply, or a dialogue")
    normalise: Literal["tokens", "dialogues", "constant"] | None = setting(
        None, "tokens: each counts the same; dialogues: each counts the same; constant: batch.length for each dialogue"
    )
    epsilon: float | None = setting(None, "the ratio is clipped below 1 - epsilon")
    epsilon_high: float | None = setting(None, "the ratio is clipped above 1 + epsilon_high")
    correction: Literal["clip", "none", "truncate", "mask"] = setting(
        "clip", "the gap between sampler and learner: within the ratio, logged alone, its weight cut at the cap, or masked"
    )
    correction_cap: float = setting(2.0, "largest weight of 'truncate'; 'mask' leaves out weights beyond it or its inverse")
    refill: int | None = setting(None, "rounds in which groups of equal rewards are replaced by plays of fresh instances")
    overlong: int = setting(0, "a reply that ends among the last so many tokens allowed loses up to overlong_penalty; 0: off")
    overlong_penalty: float = setting(1.0, "what a reply of rollout.max_tokens loses of its reward")
    beta: float = setting(0.0, "weight of the KL to the reference; 0: no reference is loaded")
    kl: Literal["k1", "k2", "k3"] = setting("k3", "how the KL is estimated")
    kl_gradient: Literal["unbiased", "direct"] = setting("unbiased", "that of the KL itself, or of the estimate (the paper's)")
    reference: Literal["frozen", "average"] = setting("frozen", "the weights at the start, or their moving average")
    reference_every: int = setting(64, "updates between two moves of the average")
    reference_decay: float = setting(0.4, "how much of the old average is kept at each move")
    updates: int = setting(1, "updates made on each batch of episodes")


@dataclasses.dataclass(frozen=True)
class Data:
    paths: tuple[str, ...] = setting((), "files and folders of dialogues to learn from (sft: none: scripted players play)")
    bad: Literal["refuse", "skip"] = setting("refuse", "a row that cannot be read stops the run, or is reported and left out")
    largest: int = setting(1_000_000, "characters that a message may have; a row with a longer one is bad")
    games: tuple[str, ...] = setting((), "keep these games; none named: all")
    roles: tuple[str, ...] = setting((), "keep these roles (game_role); none named: all")
    models: tuple[str, ...] = setting((), "keep what these models said; none named: all")
    outcomes: tuple[str, ...] = setting((), "keep these outcomes (success, failure, aborted); none named: all")
    min_score: float | None = setting(None, "keep episodes with at least this official score")
    best_models: int = setting(
        0, "keep, per instance and role, the episodes of the n models best overall (the paper's rule); 0: all"
    )
    unique: bool = setting(True, "keep a dialogue once only")
    per_game: int = setting(0, "most dialogues of one game, drawn evenly; 0: no limit")
    per_experiment: int = setting(0, "most dialogues of one experiment of a game, drawn evenly; 0: no limit")
    general: tuple[str, ...] = setting((), "files of other instruction data, mixed in so that old skills are kept (sft)")
    general_weight: float = setting(0.1, "share of the examples that come from data.general")
    stream: bool = setting(False, "rows stay on disk and are read when needed (sft.examples of them an update; with Grain)")
    too_long: Literal["drop", "cut"] = setting("cut", "a dialogue longer than batch.length is dropped, or cut after a turn")


@dataclasses.dataclass(frozen=True)
class Curriculum:
    draw: Literal["turns", "weights", "learnability"] = setting(
        "turns", "games and levels in turn, by weights, or by weights and the share of groups whose rewards still differ"
    )
    weights: tuple[str, ...] = setting((), "how often, as game=weight or game.level=weight; what is not named has weight 1")
    floor: float = setting(0.2, "how often what no longer differs is drawn, against what always does")
    decay: float = setting(0.9, "decay of the running share of groups that differ")


@dataclasses.dataclass(frozen=True)
class Pool:
    every: int = setting(20, "steps between two earlier selves kept for the player 'past'")
    keep: int = setting(5, "how many of the newest are drawn from")


@dataclasses.dataclass(frozen=True)
class Replay:
    rows: int = setting(8, "packed rows of data.general learned beside the plays of each update")
    weight: float = setting(0.1, "weight of their negative log-likelihood per token")


@dataclasses.dataclass(frozen=True)
class Sft:
    episodes: int = setting(20000, "episodes that the scripted players play before training")
    strengths: tuple[float, ...] = setting((1.0,), "strengths of the players, drawn evenly per episode")
    broken: float = setting(0.0, "share of episodes in which one seat is played by the format-breaking player")
    turns: Literal["all", "each", "prefixes", "last"] = setting(
        "all",
        "all: a dialogue with loss on every reply; each: a sample per reply; prefixes: likewise, loss on earlier ones too",
    )
    rows: int = setting(32, "packed rows per update, of all samples packed at once")
    examples: int = setting(0, "samples per update, packed by themselves; 0: `rows` rows")
    neftune: float = setting(0.0, "alpha of the noise added to embeddings (NEFTune, arXiv 2310.05914); 0 = off")


@dataclasses.dataclass(frozen=True)
class Dpo:
    level: Literal["dialogue", "turn", "first"] = setting(
        "dialogue", "pairs of whole dialogues, of turns after the same history, or of first moves; given pairs stay as they are"
    )
    negatives: int = setting(1, "rejected plays for each chosen one; 0: all")
    kinds: tuple[str, ...] = setting(("failure", "aborted"), "outcomes of which a rejected play may be")
    per_game: int = setting(0, "most pairs of one game, drawn evenly; 0: no limit")
    loss: Literal["sigmoid", "sigmoid_norm", "hinge", "ipo", "cdpo", "robust"] = setting("sigmoid", "see losses/dpo.py")
    beta: float = setting(0.1, "how strongly a pair may pull away from the reference")
    smoothing: float = setting(0.0, "share of labels that are thought wrong (cdpo, robust)")
    sft: float = setting(0.0, "weight of the chosen side's negative log-likelihood per token")
    reference: Literal["frozen", "off", "precomputed", "none"] = setting(
        "frozen", "weights at the start, run beside the policy; adapters off; run once and kept on disk; or none"
    )
    pairs: int = setting(16, "pairs per update")
    shared_prefix: bool = setting(True, "what chosen and rejected have in common runs once, in one forward pass")


@dataclasses.dataclass(frozen=True)
class Collect:
    instances: int = setting(100, "fresh training instances of each game")
    plays: int = setting(1, "plays of each instance")
    best_of: int = setting(0, "keep so many of the plays of an instance, the best by score; 0: all")
    outcomes: tuple[str, ...] = setting((), "keep plays with these outcomes (success, failure, aborted); none named: all")
    forks: int = setting(0, "a turn of each play is sampled so often anew and played on; best and worst make a pair")
    frozen: str | None = setting(None, "the policy of the seats that `players` gives to 'frozen'")
    part: int = setting(100, "instances whose plays are written at once; a run that was killed goes on after them")


@dataclasses.dataclass(frozen=True)
class Optim:
    learning_rate: float = setting(1e-4, "peak learning rate of AdamW")
    warmup: int = setting(0, "updates over which the learning rate rises from 0")
    schedule: Literal["constant", "linear", "cosine"] = setting("constant", "how it falls after the warm-up, to 0 at the end")
    weight_decay: float = setting(0.0, "decoupled weight decay")
    b1: float = setting(0.9, "decay of the first moment")
    b2: float = setting(0.99, "decay of the second moment")
    clip: float = setting(1.0, "largest global norm of the gradient; 0 = off")
    skips: int = setting(10, "updates left out because loss or gradient were not finite, after which a run stops")


@dataclasses.dataclass(frozen=True)
class Batching:
    length: int = setting(512, "tokens T of a packed row; at least rollout.context for GRPO")
    micro: int = setting(8, "rows per micro-batch, at least one a device; gradients are summed over micro-batches")


@dataclasses.dataclass(frozen=True)
class Mesh:
    data: int = setting(-1, "devices along 'data' (batch rows); -1: all that are left")
    fsdp: int = setting(1, "devices along 'fsdp' (batch rows and weights)")
    tensor: int = setting(1, "devices along 'tensor' (heads and feed-forward width)")
    rollout: int = setting(0, "devices apart on which the next step is played during the update (grpo); 0: plays come first")


@dataclasses.dataclass(frozen=True)
class Evaluation:
    every: int = setting(0, "steps between evaluations; 0: only before the first step and after the last")
    split: Literal["validation", "test"] = setting("test", "which instances")
    games: tuple[str, ...] = setting((), "games that are evaluated though they are not trained")
    floor: tuple[str, ...] = setting(
        (), "scores below which a run stops early, as game=score, or game=-points against the score at the start"
    )
    episodes: int = setting(64, "instances per game")
    plays: int = setting(1, "plays of each instance")
    temperature: float = setting(1.0, "sampling temperature of the evaluated policy")
    seed: int = setting(1, "seed of instances, partners and sampling")


@dataclasses.dataclass(frozen=True)
class Checkpoints:
    every: int = setting(20, "steps between checkpoints; one is always written at the end")
    keep: int = setting(2, "how many of the newest are kept")
    patience: float = setting(600.0, "seconds to wait for a disk that refuses to be written")


@dataclasses.dataclass(frozen=True)
class Config:
    algorithm: Literal["grpo", "sft", "dpo"] = setting("grpo", "how the policy learns")
    seed: int = setting(0, "seed of everything that is drawn")
    steps: int = setting(100, "steps: one rollout and its updates (grpo), or one update (sft, dpo)")
    games: tuple[str, ...] = setting(("wordle", "taboo", "guesswhat"), "games to train on, in turn")
    players: tuple[str, ...] = setting(
        ("taboo.describer=scripted", "guesswhat.answerer=scripted"),
        "who plays a seat, as game.seat=player[:strength], or a pool, as game.seat=player*weight|...; beside a game's own "
        "players there are learner, past, folder:PATH and http://HOST/v1#MODEL; every seat not named is the learner's",
    )
    held_out: tuple[str, ...] = setting((), "games that must never be trained: a config that names one in `games` is refused")
    form: Literal["full", "short"] = setting("full", "our own prompts, long or short")
    tensorboard: bool = setting(True, "write TensorBoard event files too")
    tracker: Literal["none", "wandb", "trackio"] = setting("none", "a service that is shown the metrics (an extra)")
    model: Model = section(Model, "the policy")
    lora: Lora = section(Lora, "training adapters alone")
    rollout: Rollout = section(Rollout, "playing and sampling")
    grpo: Grpo = section(Grpo, "learning by playing")
    curriculum: Curriculum = section(Curriculum, "which games and levels are played")
    pool: Pool = section(Pool, "earlier selves as partners")
    replay: Replay = section(Replay, "general data beside the plays")
    sft: Sft = section(Sft, "learning by imitation")
    dpo: Dpo = section(Dpo, "learning by preference")
    data: Data = section(Data, "dialogues to learn from")
    collect: Collect = section(Collect, "playing for a data set (playpen_jax.collect)")
    optim: Optim = section(Optim, "the optimizer")
    batch: Batching = section(Batching, "rows of an update")
    mesh: Mesh = section(Mesh, "devices")
    eval: Evaluation = section(Evaluation, "held-out episodes")
    checkpoints: Checkpoints = section(Checkpoints, "saving")
