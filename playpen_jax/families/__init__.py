"""Model families: how each reads and writes a Hugging Face config, and what its tensors are called. One family, one entry."""

from playpen_jax.families.family import Family, read, write
from playpen_jax.families.layout import Layout, layouts
from playpen_jax.families.table import FAMILIES, WRAPPED

__all__ = ["FAMILIES", "WRAPPED", "Family", "Layout", "layouts", "read", "write"]
