"""How far each block of weights moved, as a table for the report: the proof that a run trained what it was to train."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from playpen_jax.transcript import clean

FILE = "moved.json"


def blocks(moved: Mapping[str, float]) -> dict[str, list[float]]:
    """Block -> how far each of its layers moved: `update.moved_layers` names a layer of a stack by a number at the end."""
    found: dict[str, list[float]] = defaultdict(list)
    for name, value in moved.items():
        block, _, number = name.rpartition(".")
        found[block if number.isdigit() else name].append(value)
    return dict(found)


def section(moved: Mapping[str, float]) -> str:
    """One line a block, one cell a layer, relative to the size of the weights; what stayed where it was stands out."""
    if not moved:
        return ""
    most = max(moved.values()) or 1.0
    still = [name for name, value in moved.items() if value == 0]
    rows = []
    for block, values in blocks(moved).items():
        cells = "".join(_cell(value, most) for value in values)
        rows.append(f"<tr><td><code>{clean(block, 80)}</code></td>{cells}</tr>")
    note = "Change of each block of weights, in per cent of its norm; from left to right the layers. "
    note += f"Did not move: {clean(', '.join(still), 400)}." if still else "Every block moved."
    return f'<p class="soft">{note}</p><div class="card scroll"><table>{"".join(rows)}</table></div>'


def _cell(value: float, most: float) -> str:
    """The darker, the farther."""
    share = 100 * value / most
    tint = f"color-mix(in srgb, var(--s2) {0.6 * share:.0f}%, transparent)"
    return f'<td style="background:{tint}">{100 * value:.2g}</td>' if value else "<td><b>0</b></td>"
