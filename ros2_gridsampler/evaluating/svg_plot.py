# Copyright 2026 The ros2_gridsampler authors
# SPDX-License-Identifier: Apache-2.0
"""Numbers -> small SVG drawings that stand in a page, sharp on a phone, without a library."""

from collections.abc import Mapping, Sequence

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
COLOURS = ('#2f6690', '#d98e32', '#8a939d', '#7b4fa3')
_MARGIN = (46, 8, 10, 30)
"""Left, right, top, bottom [px]."""


def lines(
    series: Mapping[str, tuple[Numbers, Numbers]],
    *,
    size: tuple[int, int] = (400, 220),
    label: str = '',
    from_zero: bool = False,
    colours: Sequence[str] = COLOURS,
) -> Markup:
    """Curves over a common axis, with a legend above; NaN leaves a gap.

    Args:
        series: Name -> x and y.
        size: Width and height [px].
        label: The label of the horizontal axis.
        from_zero: Whether the vertical axis begins at 0.
        colours: One per curve.
    """
    there = [(x, y) for x, y in series.values() if np.isfinite(y).any()]
    if not there:
        return Markup('')
    xs = np.concatenate([x for x, _ in there])
    ys = np.concatenate([y[np.isfinite(y)] for _, y in there])
    frame = _Frame(size, _bounds(xs), _bounds(ys, from_zero))
    parts = [frame.axes(label)]
    for (x, y), colour in zip(series.values(), colours, strict=False):
        for piece in _pieces(x, y):
            points = ' '.join(f'{frame.x(a):.1f},{frame.y(b):.1f}' for a, b in piece)
            parts.append(
                f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.7"/>'
            )
    return _legend(tuple(series), colours) + frame.wrap(parts)


def histogram(
    values: Sequence[float], *, label: str, size: tuple[int, int] = (400, 150)
) -> Markup:
    """How often which value came."""
    if not len(values):
        return Markup('')
    counts, edges = np.histogram(values, bins=40, range=(0, max(values)))
    frame = _Frame(size, (0.0, float(edges[-1])), (0.0, float(counts.max())))
    parts = [frame.axes(label)]
    for count, low, high in zip(counts, edges[:-1], edges[1:], strict=True):
        if count:
            top, left = frame.y(count), frame.x(low)
            parts.append(
                f'<rect x="{left:.1f}" y="{top:.1f}" width="{frame.x(high) - left - 0.6:.1f}" '
                f'height="{frame.y(0) - top:.1f}" fill="{COLOURS[0]}"/>'
            )
    return frame.wrap(parts)


def timeline(
    rows: Mapping[str, Sequence[tuple[float, float]]], duration: float, *, width: int = 400
) -> Markup:
    """When what went wrong.

    Args:
        rows: Name -> spans [s] from the beginning.
        duration: The length of all [s].
        width: [px].
    """
    height = 26 * len(rows)
    frame = _Frame((width, height + 40), (0.0, max(duration, 1e-3)), (0.0, 1.0))
    parts = [frame.axes('time in the bag [s]', vertical=False)]
    for row, (name, spans) in enumerate(rows.items()):
        top = 8 + 26 * row
        parts.append(f'<text x="{_MARGIN[0]}" y="{top + 3}" class="name">{_escape(name)}</text>')
        for begin, end in spans:
            left = frame.x(begin)
            wide = max(frame.x(end) - left, 1.2)
            parts.append(
                f'<rect x="{left:.1f}" y="{top + 6}" width="{wide:.1f}" height="9" '
                f'fill="{COLOURS[1]}"/>'
            )
    return frame.wrap(parts)


class _Frame:
    """Data coordinates -> pixels."""

    def __init__(
        self, size: tuple[int, int], x: tuple[float, float], y: tuple[float, float]
    ) -> None:
        self._size, self._x, self._y = size, x, y

    def x(self, value: float) -> float:
        left, right, _, _ = _MARGIN
        low, high = self._x
        return left + (value - low) / (high - low) * (self._size[0] - left - right)

    def y(self, value: float) -> float:
        _, _, top, bottom = _MARGIN
        low, high = self._y
        return (
            self._size[1] - bottom - (value - low) / (high - low) * (self._size[1] - top - bottom)
        )

    def axes(self, label: str, *, vertical: bool = True) -> str:
        parts = []
        bottom = self._size[1] - _MARGIN[3]
        for tick in _ticks(*self._x):
            at = self.x(tick)
            parts.append(f'<text x="{at:.1f}" y="{bottom + 13}" class="x">{tick:g}</text>')
        for tick in _ticks(*self._y, most=4) if vertical else ():
            at = self.y(tick)
            parts.append(
                f'<line x1="{_MARGIN[0]}" x2="{self._size[0] - _MARGIN[1]}" y1="{at:.1f}" '
                f'y2="{at:.1f}" class="grid"/><text x="{_MARGIN[0] - 4}" y="{at + 3.5:.1f}" '
                f'class="y">{tick:g}</text>'
            )
        middle = (self._size[0] + _MARGIN[0]) / 2
        parts.append(
            f'<text x="{middle:.0f}" y="{self._size[1] - 3}" class="x">{_escape(label)}</text>'
        )
        return ''.join(parts)

    def wrap(self, parts: Sequence[str]) -> Markup:
        width, height = self._size
        # Every text that came from outside was escaped where it was put in.
        return Markup(  # noqa: S704
            f'<svg viewBox="0 0 {width} {height}" role="img">{"".join(parts)}</svg>'
        )


def _legend(names: Sequence[str], colours: Sequence[str]) -> Markup:
    # Text of the page, not of the drawing: it is as large as other text on any screen.
    entries = (
        f'<span style="--colour:{colour}">{_escape(name)}</span>'
        for name, colour in zip(names, colours, strict=False)
    )
    return Markup(f'<p class="legend">{"".join(entries)}</p>')  # noqa: S704 - escaped above


def _escape(text: str) -> str:
    return str(Markup.escape(text))


def _bounds(values: Numbers, from_zero: bool = False) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    if from_zero:
        low = 0.0
    room = 0.08 * (high - low) or 0.5 * abs(high) or 1.0
    return (low if from_zero else low - room), high + room


def _ticks(low: float, high: float, most: int = 6) -> list[float]:
    step = 10 ** np.floor(np.log10((high - low) / most))
    step = next(
        step * factor for factor in (1, 2, 5, 10) if (high - low) / (step * factor) <= most
    )
    first = np.ceil(low / step)
    # Adding zero makes 0 of -0.
    return [round(float(step * k), 10) + 0.0 for k in np.arange(first, high / step + 1e-9)]


def _pieces(x: Numbers, y: Numbers) -> list[list[tuple[float, float]]]:
    pieces: list[list[tuple[float, float]]] = [[]]
    for a, b in zip(x, y, strict=True):
        if np.isfinite(b):
            pieces[-1].append((float(a), float(b)))
        elif pieces[-1]:
            pieces.append([])
    return [piece for piece in pieces if len(piece) > 1]
