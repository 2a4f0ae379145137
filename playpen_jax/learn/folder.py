"""The folder of a run: whether it may be used, what describes its model, how far its run has come."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from playpen_jax import chat as chats
from playpen_jax import config as configs
from playpen_jax import hf, metrics, model

FREE = ("steps", "tensorboard", "tracker", "eval", "checkpoints")  # settings that may differ when a run is resumed
FINISHED = "finished.json"  # written last: how many steps were made, and how far the weights moved


def open_workdir(config: configs.Config, workdir: Path) -> None:
    """Make DIR; one that cannot be written or holds a run of other settings is refused, named setting by setting."""
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        (workdir / ".write-test").touch()
        (workdir / ".write-test").unlink()
    except OSError as error:
        raise configs.ConfigError(f"--workdir={workdir} cannot be written: {error.strerror}") from None
    file = workdir / "config.json"
    if file.exists():
        try:
            before = json.loads(file.read_text())
        except json.JSONDecodeError as error:
            raise configs.ConfigError(f"{file}: line {error.lineno}: not JSON: {error.msg}") from None
        plain = json.loads(json.dumps(dataclasses.asdict(config)))
        other = [f"{k}: {before.get(k)} is now {plain[k]}" for k in plain if k not in FREE and before.get(k) != plain[k]]
        if other:
            raise configs.ConfigError(
                f"--workdir={workdir} holds a run of other settings ({'; '.join(other)[:300]}): choose another"
            )


def write_model_folder(folder: Path, c: model.ModelConfig, chat: chats.Chat, source: Path | None) -> None:
    """`DIR/model`: config.json and the tokenizer, so that a checkpoint can be loaded and exported."""
    folder.mkdir(exist_ok=True)
    if source is not None:
        hf.save_config(folder, c, assets_from=source)
        return
    chat.tokenizer.save(folder)
    metrics.replace(folder / "chat_template.jinja", chats.jinja(chat.template))
    pieces = zip(hf.TOKEN_IDS, (chat.tokenizer.bos, chat.tokenizer.eos, "<pad>"))
    hf.save_config(folder, c, ids={name: chat.tokenizer.specials.get(piece or "") for name, piece in pieces})


def tokens_seen(workdir: Path) -> float:
    rows = metrics.read(workdir / "metrics.jsonl") if (workdir / "metrics.jsonl").exists() else []
    return rows[-1].get("num_tokens", 0.0) if rows else 0.0


def finished(config: configs.Config, workdir: Path) -> bool:
    """Whether a run was finished with this number of steps, so that nothing is left to do."""
    file = workdir / FINISHED
    return file.exists() and json.loads(file.read_text())["steps"] == config.steps
