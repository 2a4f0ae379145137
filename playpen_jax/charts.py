"""Small line charts as SVG text: raw points faint, a smoothed line, measured points with error bars. No script, no network.

Colours are CSS variables (style.py), so one drawing serves light and dark pages.
"""

from __future__ import annotations

import dataclasses
import html
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from playpen_jax import style

WIDTH, HEIGHT = 364, 200
LEFT, RIGHT, TOP, BOTTOM = 54, 10, 12, 24


@dataclasses.dataclass(frozen=True)
class Series:
    """One named line; `errors` makes it measured points with error bars instead of a smoothed line."""

    name: str
    steps: np.ndarray
    values: np.ndarray
    color: int = 0
    errors: np.ndarray | None = None

    @property
    def last(self) -> float:
        """Where the line ends."""
        return float(self.values[-1] if self.errors is not None else smooth(self.values)[-1])


def series(rows: Iterable[Mapping], key: str, name: str = "", color: int = 0, scale: float = 1.0) -> Series | None:
    """The values of one metric, rows without a finite one left out; None if there are none at all."""
    found = [(row["step"], scale * row[key]) for row in rows if _finite(row.get(key))]
    if not found:
        return None
    steps, values = np.array(found, float).T
    return Series(name or key, steps, values, color)


def _finite(value: object) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)


def smooth(values: np.ndarray) -> np.ndarray:
    """A centred Gaussian mean, its deviation a thirtieth of the run but at most 60 steps; up to 8 values stay as they are."""
    n = len(values)
    if n <= 8:
        return values
    width = min(max(1.0, n / 30), 60.0)
    kernel = np.exp(-0.5 * (np.arange(-int(3 * width), int(3 * width) + 1) / width) ** 2)
    return np.convolve(values, kernel, "same") / np.convolve(np.ones(n), kernel, "same")


def thin(values: np.ndarray, n: int) -> np.ndarray:
    """At most `n` of the values, evenly, the first and the last among them."""
    return values if len(values) <= n else values[np.linspace(0, len(values) - 1, n).round().astype(int)]


def ticks(low: float, high: float, n: int = 4) -> list[float]:
    """Round numbers that enclose [low, high], about `n` steps apart."""
    rough = (high - low) / n
    power = 10.0 ** math.floor(math.log10(rough))
    step = power * next(m for m in (1, 2, 2.5, 5, 10) if m * power >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 12) + 0.0 for i in range(first, last + 1)]


def number(value: float, digits: int = 3) -> str:
    """A number as short as it stays clear: 0.012, 3.4, 120, 56.3k."""
    size = abs(value)
    for unit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if size >= max(1e4, 0.9995 * unit):
            return f"{value / unit:.{digits}g}{letter}"
    if size and size < 1e-3:
        mantissa, power = f"{value:.{digits - 1}e}".split("e")
        return f"{mantissa.rstrip('0').rstrip('.')}e{int(power)}"
    return f"{value:.0f}" if size >= 1000 else f"{value:.{digits}g}"


def chart(lines: Sequence[Series], low: float | None = None, label: str = "", stacked: bool = False) -> str:
    """One chart; `low` fixes the lower end of the axis, `label` says to a screen reader what is shown."""
    lines = stack(lines) if stacked else lines
    frame, ys = _frame(lines, low)
    if stacked:
        body = _areas(lines, frame)
    else:
        body = "".join(_line(s, frame) if s.errors is None else _points(s, frame) for s in lines)
    head = f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{html.escape(label)}">'
    return f"{head}{_axes(frame, ys)}{body}{_outside(lines, frame)}</svg>"


@dataclasses.dataclass(frozen=True)
class Frame:
    """The data range of a plot; x and y give places in the drawing."""

    start: float
    end: float
    low: float
    high: float

    def x(self, steps: Any) -> Any:
        """Of one step, or of an array of them."""
        return LEFT + (WIDTH - LEFT - RIGHT) * (steps - self.start) / (self.end - self.start)

    def y(self, values: Any) -> Any:
        """Of one value, or of an array of them."""
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (values - self.low) / (self.high - self.low)


def _frame(lines: Sequence[Series], low: float | None) -> tuple[Frame, list[float]]:
    """The range of all lines, and the marks of the vertical axis."""
    ys = ticks(*_range(lines, low))
    start, end = min(s.steps[0] for s in lines), max(s.steps[-1] for s in lines)
    return Frame(start, end, ys[0], ys[-1]) if start < end else Frame(start - 1, end + 1, ys[0], ys[-1]), ys


def _outside(lines: Sequence[Series], frame: Frame) -> str:
    """How many points the axis leaves out."""
    n = sum(int(np.sum((s.values < frame.low) | (s.values > frame.high))) for s in lines)
    note = f"{n} point{'s' * (n > 1)} outside"
    return f'<text x="{WIDTH - RIGHT}" y="{TOP + 9}" text-anchor="end">{note}</text>' if n else ""


def _range(lines: Sequence[Series], low: float | None) -> tuple[float, float]:
    """What the axis must hold: smoothed lines and error bars whole, raw points but for the outermost two per cent."""
    seen = []
    for s in lines:
        if s.errors is not None:
            spread = np.nan_to_num(s.errors)
            seen += [s.values - spread, s.values + spread]
        else:
            seen += [smooth(s.values), np.percentile(s.values, (1, 99)) if len(s.values) > 20 else s.values]
    values = np.concatenate(seen)
    bottom, top = float(values.min()) if low is None else low, float(values.max())
    size = max(abs(top), abs(bottom))
    least = 0.02 * size if size > 1e-12 else 1.0  # narrower than this, the marks could not be told apart
    widen = max(0.0, least - (top - bottom))
    return (bottom - widen / 2, top + widen / 2) if low is None else (bottom, top + widen)


def _axes(frame: Frame, ys: Sequence[float]) -> str:
    parts = []
    for value in ys:
        y = frame.y(value)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{number(value, 4)}</text>')
    inside = [x for x in ticks(frame.start, frame.end) if max(frame.start, 0) <= x <= frame.end and x == int(x)]
    for value in inside:
        text = f"step {number(value)}" if value == inside[0] else number(value)
        anchor = "end" if frame.x(value) > WIDTH - 2 * RIGHT else "middle"
        x = frame.x(value) + (RIGHT if anchor == "end" else 0)
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - 6}" text-anchor="{anchor}">{text}</text>')
    return "".join(parts)


def _line(s: Series, frame: Frame, weight: str = "line", raw: bool = True) -> str:
    xs, ys = thin(frame.x(s.steps), 200), thin(frame.y(smooth(s.values)), 200)
    if len(xs) == 1:
        return f'<circle class="f{s.color}" cx="{xs[0]:.1f}" cy="{ys[0]:.1f}" r="3.5"/>'
    dots = ""
    if raw and len(s.values) > 8:
        shown = (s.values >= frame.low) & (s.values <= frame.high)
        places = zip(thin(frame.x(s.steps)[shown], 400), thin(frame.y(s.values)[shown], 400))
        dots = f'<path class="raw s{s.color}" d="{"".join(f"M{x:.1f} {y:.1f}h0" for x, y in places)}"/>'
    return f'{dots}<path class="{weight} s{s.color}" d="{_path(xs, ys)}"/>'


def _points(s: Series, frame: Frame) -> str:
    assert s.errors is not None
    xs, ys = frame.x(s.steps), frame.y(s.values)
    parts = [f'<path class="dash s{s.color}" d="{_path(xs, ys)}"/>']
    for step, value, error, x, y in zip(s.steps, s.values, s.errors, xs, ys):
        if math.isfinite(error):
            up, down = frame.y(value + error), frame.y(max(value - error, frame.low))
            parts.append(f'<line class="error s{s.color}" x1="{x:.1f}" x2="{x:.1f}" y1="{up:.1f}" y2="{down:.1f}"/>')
        tip = f"{s.name}, step {step:.0f}: {value:.1f}" + (f" ± {error:.1f}" if math.isfinite(error) else "")
        circle = f'<circle class="f{s.color}" cx="{x:.1f}" cy="{y:.1f}" r="4">'
        parts.append(f"{circle}<title>{html.escape(tip)}</title></circle>")
    return "".join(parts)


def stack(lines: Sequence[Series]) -> list[Series]:
    """Smoothed and summed from the bottom up, at the steps that all of them have; the first line is the lowest."""
    steps = lines[0].steps
    for s in lines[1:]:
        steps = np.intersect1d(steps, s.steps)
    total, stacked = np.zeros(len(steps)), []
    for s in lines:
        total = total + smooth(s.values[np.isin(s.steps, steps)])
        stacked.append(dataclasses.replace(s, steps=steps, values=total, errors=np.zeros(len(steps))))
    return stacked


def _areas(stacked: Sequence[Series], frame: Frame) -> str:
    xs, below, parts = thin(frame.x(stacked[0].steps), 200), None, []
    for s in stacked:
        ys = thin(frame.y(s.values), 200)
        base = np.full(len(xs), frame.y(frame.low)) if below is None else below
        outline = _path(np.concatenate([xs, xs[::-1]]), np.concatenate([ys, base[::-1]]))
        parts.append(f'<path class="area" style="fill:var(--s{s.color})" d="{outline}Z"/>')
        below = ys
    return "".join(parts)


def _path(xs: np.ndarray, ys: np.ndarray) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in zip(xs, ys))


def learning_curve_svg(runs: Sequence[Sequence[Mapping]], key: str, title: str = "", low: float | None = None) -> str:
    """A standalone SVG of one metric over several runs (rows with "step"): thin lines, and their mean where all have a value.

    Raises `ValueError` if a run lacks the metric, or if they share no step.
    """
    lines, mean = _with_mean(runs, key)
    frame, ys = _frame([*lines, mean], low)
    plot = _axes(frame, ys) + _seeds(lines, mean, frame)
    plot += "" if len(runs) > 1 else _outside([mean], frame)
    return standalone(plot, title or key, f"mean of {len(runs)} runs" if len(runs) > 1 else "")


def _with_mean(runs: Sequence[Sequence[Mapping]], key: str) -> tuple[list[Series], Series]:
    """One metric of each run, and its mean at the steps that they share."""
    found = [series(rows, key, f"seed {i}") for i, rows in enumerate(runs)]
    lines = [line for line in found if line is not None]
    if not lines or len(lines) < len(runs):
        raise ValueError(f"a run has no values of {key!r}")
    steps = lines[0].steps
    for line in lines[1:]:
        steps = np.intersect1d(steps, line.steps)
    if not len(steps):
        raise ValueError(f"the runs share no step with a value of {key!r}")
    return lines, Series("mean", steps, np.mean([line.values[np.isin(line.steps, steps)] for line in lines], axis=0))


def _seeds(lines: Sequence[Series], mean: Series, frame: Frame) -> str:
    """Thin lines of several runs, then their mean; of a single run the raw points and its line."""
    thin = [_line(line, frame, "thin", raw=False) for line in lines] if len(lines) > 1 else []
    return "".join(thin) + _line(mean, frame, raw=not thin)


def multiples_svg(groups: Mapping[str, Sequence[Sequence[Mapping]]], key: str, title: str, low: float | None = None) -> str:
    """A standalone SVG of small charts with the same axes, a group of runs in each: one metric, and its mean thick.

    The dashed line is the same in all: the mean over all runs. Raises `ValueError` as `learning_curve_svg` does.
    """
    found = {name: _with_mean(runs, key) for name, runs in groups.items()}
    everywhere = dataclasses.replace(
        _with_mean([run for runs in groups.values() for run in runs], key)[1], color=style.COLORS - 1
    )
    frame, ys = _frame([line for lines, mean in found.values() for line in (*lines, mean)], low)
    across, tall, room, parts = min(3, len(found)), HEIGHT + 26, 18, []
    for i, (name, (lines, mean)) in enumerate(found.items()):
        heading = f'<text x="{LEFT}" y="2" style="fill:var(--ink);font-weight:600">{html.escape(name)}</text>'
        plot = _axes(frame, ys) + _line(everywhere, frame, "dash", raw=False) + _seeds(lines, mean, frame)
        parts.append(f'<g transform="translate({i % across * WIDTH} {room + i // across * tall})">{heading}{plot}</g>')
    note = "thin: a run, thick: their mean, dashed: mean of all"
    return standalone("".join(parts), title, note, across * WIDTH, room + -(-len(found) // across) * tall - 26)


def points_svg(lines: Sequence[Series], title: str, note: str = "", low: float | None = None) -> str:
    """A standalone SVG of measured points with error bars, one line per series."""
    frame, ys = _frame(lines, low)
    return standalone(_axes(frame, ys) + "".join(_points(s, frame) for s in lines) + _outside(lines, frame), title, note)


def standalone(plot: str, title: str, note: str, width: int = WIDTH, height: int = HEIGHT) -> str:
    """The SVG file of a plot, with its heading, a note to the right and the style it needs."""
    heading = html.escape(title)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="chart" viewBox="0 -26 {width} {height + 26}" role="img" '
        f'aria-label="{heading}"><style>{style.PALETTE}{style.CHART}</style>'
        f'<rect y="-26" width="100%" height="100%" style="fill:var(--card)"/>'
        f'<text x="10" y="-8" style="fill:var(--ink);font-weight:600;font-size:13px">{heading}</text>'
        f'<text x="{width - RIGHT}" y="-8" text-anchor="end">{html.escape(note)}</text>{plot}</svg>\n'
    )
