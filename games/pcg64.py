"""The draws of numpy's default generator (PCG64 XSL-RR, seeded through SeedSequence), for boards that follow from them.

O'Neill, "PCG: A Family of Simple Fast Space-Efficient Statistically Good Algorithms" (2014); bounded draws: Lemire,
arXiv:1805.10941.
"""

from __future__ import annotations

from collections.abc import Iterator

_32, _64, _128 = 2**32 - 1, 2**64 - 1, 2**128 - 1
_STEP = 47026247687942121848144207491837523525  # the multiplier of the 128-bit congruential generator
_POOL = 4  # words of entropy that a seed is mixed into


def _hashes(const: int, step: int) -> Iterator[tuple[int, int]]:
    """Pairs of constants for one mixing of a word."""
    while True:
        last, const = const, const * step & _32
        yield last, const


def _mixed(word: int, consts: Iterator[tuple[int, int]]) -> int:
    before, after = next(consts)
    word = (word ^ before) * after & _32
    return word ^ word >> 16


def _joined(a: int, b: int) -> int:
    word = (0xCA01F9DD * a - 0x4973F715 * b) & _32
    return word ^ word >> 16


def _seeded(seed: int) -> list[int]:
    """Four numbers of 64 bits from a seed."""
    words = [seed >> shift & _32 for shift in range(0, max(seed.bit_length(), 1), 32)]
    consts = _hashes(0x43B0D7E5, 0x931E8875)
    pool = [_mixed(word, consts) for word in (words + [0] * _POOL)[:_POOL]]
    for source in range(_POOL):
        for to in range(_POOL):
            if source != to:
                pool[to] = _joined(pool[to], _mixed(pool[source], consts))
    for word in words[_POOL:]:
        pool = [_joined(old, _mixed(word, consts)) for old in pool]
    consts = _hashes(0x8B51F9DD, 0x58F38DED)
    halves = [_mixed(word, consts) for word in pool * 2]
    return [low | high << 32 for low, high in zip(halves[::2], halves[1::2])]


class PCG64:
    """`numpy.random.default_rng(seed)`, of which only `integers(count)` is needed; seed: not negative."""

    def __init__(self, seed: int):
        a, b, c, d = _seeded(seed)
        self._add = ((c << 64 | d) << 1 | 1) & _128
        self._state = self._add + (a << 64 | b)
        self._step()
        self._spare: int | None = None  # the upper half of the last draw of 64 bits

    def _step(self) -> None:
        self._state = (self._state * _STEP + self._add) & _128

    def _draw32(self) -> int:
        if self._spare is not None:
            half, self._spare = self._spare, None
            return half
        self._step()
        turn, word = self._state >> 122, (self._state >> 64 ^ self._state) & _64
        word = (word >> turn | word << (64 - turn)) & _64
        self._spare = word >> 32
        return word & _32

    def integers(self, count: int) -> int:
        """A number from 0 to count - 1, below 2**32."""
        if count == 1:
            return 0
        product = self._draw32() * count
        while product & _32 < 2**32 % count:
            product = self._draw32() * count
        return product >> 32
