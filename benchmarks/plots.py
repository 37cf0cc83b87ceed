"""Small SVG plots that follow the reader's light or dark mode and need no library."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 720, 320
LEFT, RIGHT, TOP, BOTTOM = 64, 176, 44, 52

LIGHT = {"a": "#1a7f37", "b": "#bc4c00", "c": "#8250df", "limit": "#cf222e"}
DARK = {"a": "#3fb950", "b": "#f0883e", "c": "#bc8cff", "limit": "#ff7b72"}


def _colours(colours: Mapping[str, str], text: str, soft: str, grid: str) -> str:
    lines = [f"text {{ fill: {text} }} .soft {{ fill: {soft} }} .grid {{ stroke: {grid} }}"]
    for style, colour in colours.items():
        lines.append(f"path.{style} {{ stroke: {colour} }} text.{style}, circle.{style} {{ fill: {colour} }}")
    return "\n".join(lines)


STYLE = f"""
path {{ fill: none; stroke-width: 2.5 }}
path.c {{ stroke-dasharray: 6 5 }} path.limit {{ stroke-dasharray: 3 4; stroke-width: 1.5 }}
{_colours(LIGHT, "#24292f", "#57606a", "#d0d7de")}
@media (prefers-color-scheme: dark) {{
{_colours(DARK, "#e6edf3", "#9198a1", "#3d444d")}
}}
"""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a plot."""

    name: str
    style: str
    """`a`, `b`, `c` or `limit`."""
    points: Sequence[tuple[float, float]]
    dots: bool = False
    steps: bool = False


@dataclass(frozen=True, slots=True)
class Axis:
    """A logarithmic or linear axis with its ticks."""

    name: str
    ticks: Sequence[tuple[float, str]]
    logarithmic: bool = False

    def share(self, value: float) -> float:
        """The position of a value on the axis, from 0 to 1."""
        low, high = self.ticks[0][0], self.ticks[-1][0]
        if self.logarithmic:
            low, high, value = math.log(low), math.log(high), math.log(max(value, self.ticks[0][0]))
        return (value - low) / (high - low)


def plot(title: str, description: str, across: Axis, up: Axis, lines: Sequence[Line]) -> str:
    """The plot, with the names of the lines beside it."""
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM

    def x(value: float) -> float:
        return round(LEFT + across.share(value) * (right - LEFT), 1)

    def y(value: float) -> float:
        return round(bottom - up.share(value) * (bottom - TOP), 1)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-labelledby="t d" '
        'font-family="system-ui, sans-serif" font-size="13">',
        f'<title id="t">{escape(title)}</title>',
        f'<desc id="d">{escape(description)}</desc>',
        f"<style>{STYLE}</style>",
        f'<text x="{LEFT}" y="22" font-weight="600">{escape(title)}</text>',
    ]
    for value, label in up.ticks:
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{right}" y1="{y(value)}" y2="{y(value)}"/>')
        parts.append(f'<text class="soft" x="{LEFT - 8}" y="{y(value) + 4}" text-anchor="end">{escape(label)}</text>')
    for value, label in across.ticks:
        parts.append(f'<text class="soft" x="{x(value)}" y="{bottom + 20}" text-anchor="middle">{escape(label)}</text>')
    middle = (LEFT + right) / 2
    parts.append(f'<text class="soft" x="{middle}" y="{HEIGHT - 8}" text-anchor="middle">{escape(across.name)}</text>')
    parts.append(f'<text class="soft" x="{LEFT}" y="{TOP - 8}" font-size="12">{escape(up.name)}</text>')
    for place, line in enumerate(lines):
        parts.append(f'<path class="{line.style}" d="{_path([(x(a), y(b)) for a, b in line.points], line.steps)}"/>')
        if line.dots:
            parts += [f'<circle class="{line.style}" cx="{x(a)}" cy="{y(b)}" r="4"/>' for a, b in line.points]
        height = TOP + 14 + 22 * place
        parts.append(f'<path class="{line.style}" d="M{right + 14} {height - 4}h18"/>')
        parts.append(f'<text class="{line.style}" x="{right + 38}" y="{height}">{escape(line.name)}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _path(points: Sequence[tuple[float, float]], steps: bool) -> str:  # noqa: FBT001 - how it is drawn
    words = [f"M{points[0][0]} {points[0][1]}"]
    for place, height in points[1:]:
        words.append(f"H{place}V{height}" if steps else f"L{place} {height}")
    return "".join(words)
