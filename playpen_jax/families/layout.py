"""How each of our weights lies in the tensors of its family: parts of tensors in, parts of weights out, no files."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from playpen_jax.families.family import Family
from playpen_jax.families.tensors import LETTERS
from playpen_jax.model import STACKS, ModelConfig, logical_axes, members, sizes

Reader = Callable[[tuple[slice, ...]], np.ndarray]  # from ranges of a tensor's axes to what stands there


@dataclasses.dataclass(frozen=True)
class Layout:
    """One of our weights, and its tensors there: one, or one for each layer (and each of its experts).

    names: in the order of the leading axes `lead` of ours. ours: the letters of the other axes; theirs: those of a tensor,
    grouped in words. In the first word the letters before the bar are `outer`; along those behind it, `start` of `total`
    places belong to the weights that come before this one.
    """

    key: str  # our weight, such as "layers.q"
    names: tuple[str, ...]
    lead: tuple[int, ...]
    ours: str
    outer: str
    theirs: tuple[str, ...]
    sizes: Mapping[str, int]
    start: int = 0
    total: int = 0

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one layer of ours."""
        return tuple(self.sizes[x] for x in self.ours)

    @property
    def their_shape(self) -> tuple[int, ...]:
        rows = math.prod(self.sizes[x] for x in self.outer) * self.total
        return (rows, *(math.prod(self.sizes[x] for x in word) for word in self.theirs[1:]))

    def read(self, get: Reader, index: tuple[slice, ...]) -> np.ndarray:
        """The part `index` of one layer of ours; of a tensor's axes that are one of ours, no more than this is read."""
        wanted = dict(zip(self.ours, index))
        inner = self.theirs[0].removeprefix(self.outer)
        own = math.prod(self.sizes[x] for x in inner)
        rows = slice(None) if self.outer else slice(self.start, self.start + own)
        part = get((rows, *(wanted.get(word, slice(None)) for word in self.theirs[1:])))
        part = part.reshape(*(self.sizes[x] for x in self.outer), -1, *part.shape[1:])
        if self.outer:
            part = part[(slice(None),) * len(self.outer) + (slice(self.start, self.start + own),)]
        letters = [x for word in self.theirs for x in word if x != "1"]
        read = {word for word in self.theirs[1:] if word in wanted}
        length = lambda x: len(range(self.sizes[x])[wanted[x]]) if x in read else self.sizes[x]
        part = part.reshape([length(x) for x in letters])
        part = part[tuple(slice(None) if x in read else wanted[x] for x in letters)]
        return part.transpose([letters.index(x) for x in self.ours])

    def write(self, part: np.ndarray) -> np.ndarray:
        """One layer of ours as [outer, own places, other axes] of a tensor, to be joined along the second axis."""
        letters = [x for word in self.theirs for x in word if x != "1"]
        part = part.transpose([self.ours.index(x) for x in letters])
        outer = math.prod(self.sizes[x] for x in self.outer)
        return np.ascontiguousarray(part).reshape(outer, -1, *self.their_shape[1:])


def layouts(c: ModelConfig, family: Family) -> list[Layout]:
    """The layout of every weight, in the order of `jax.tree.leaves`."""
    known = {LETTERS[axis]: size for axis, size in sizes(c).items() if axis in LETTERS} | {"1": 1}
    axes, _ = jax.tree_util.tree_flatten_with_path(logical_axes(c), is_leaf=lambda x: isinstance(x, tuple))
    by_key = {jax.tree_util.keystr(path, simple=True, separator="."): one for path, one in axes}
    found = {key: _layout(c, family, key, one, known) for key, one in by_key.items()}
    for name in {each.names for each in found.values()}:  # those that share their tensors
        joined = [found[key] for key in family.tensors if key in found and found[key].names == name]
        own = [math.prod(known[x] for x in each.theirs[0].removeprefix(each.outer)) for each in joined]
        for i, each in enumerate(joined):
            found[each.key] = dataclasses.replace(each, start=sum(own[:i]), total=sum(own))
    return list(found.values())


def _layout(c: ModelConfig, family: Family, key: str, axes: tuple[str, ...], known: Mapping[str, int]) -> Layout:
    if key not in family.tensors:
        raise ValueError(f"{family.architecture} has no tensor for {key}")
    name, spelled = family.tensors[key]
    counted = 1 if axes[0] in STACKS else 0
    counted += name.count("{}") > 1
    numbers: list[tuple[Any, ...]] = [(i,) for i in members(c, axes[0])] if axes[0] in STACKS else [()]
    if counted > 1:
        numbers = [(*each, i) for each in numbers for i in range(sizes(c)[axes[1]])]
    ours = "".join(LETTERS[axis] for axis in axes[counted:])
    outer, _, rest = (ours if spelled == "*" else spelled).rpartition("|")
    lead = tuple(sizes(c)[axis] for axis in axes[:counted])
    return Layout(key, tuple(name.format(*each) for each in numbers), lead, ours, outer, tuple((outer + rest).split()), known)
