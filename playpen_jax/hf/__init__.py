"""Hugging Face folders: safetensors and config.json in and out, without torch."""

from playpen_jax.hf.reading import INDEX, WEIGHTS, load, read_config
from playpen_jax.hf.writing import TOKEN_IDS, save, save_config

__all__ = ["INDEX", "TOKEN_IDS", "WEIGHTS", "load", "read_config", "save", "save_config"]
