"""A type checker for jaxtyping's import hook that looks at arrays alone: dtypes and shapes, letter by letter.

typeguard from 4 on reads the letters of a shape as Python, beartype wants no int where a float is annotated and no numpy array
where a JAX one is; what a caller may hand over as either is not our subject here.
"""

from __future__ import annotations

import functools
import inspect
import types
import typing
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import AbstractArray


def check(function: Callable) -> Callable:
    """`function`, which raises `TypeError` for an argument or a result that is not the annotated array."""
    signature = inspect.signature(function)

    @functools.wraps(function)
    def checked(*args: Any, **kwargs: Any) -> Any:
        for name, value in signature.bind(*args, **kwargs).arguments.items():
            verify(value, signature.parameters[name].annotation)
        result = function(*args, **kwargs)
        verify(result, signature.return_annotation)
        return result

    return checked


def verify(value: Any, hint: Any) -> None:
    """Raise `TypeError` unless `value`, or every part of a tuple, is the array that `hint` describes."""
    inner = typing.get_args(hint)
    if typing.get_origin(hint) is tuple and isinstance(value, tuple) and len(inner) == len(value):
        for part, kind in zip(value, inner):
            verify(part, kind)
    elif typing.get_origin(hint) in (typing.Union, types.UnionType):
        if value is not None:
            verify(value, next(kind for kind in inner if kind is not type(None)))
    elif inspect.isclass(hint) and issubclass(hint, AbstractArray):
        if isinstance(value, np.ndarray):
            hint = hint.dtype[np.ndarray, hint.dim_str]
        if not isinstance(value, hint):
            raise TypeError(f"{getattr(value, 'dtype', type(value).__name__)} {np.shape(value)} is not {hint}")
