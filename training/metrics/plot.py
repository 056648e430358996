"""The FID-CLIP curve as a picture: one drawing, made of lines, dots and words, written as SVG or, by Pillow, as PNG."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal
from xml.sax.saxutils import escape

from PIL import Image, ImageDraw, ImageFont

from core.files import replacing

WIDTH, HEIGHT = 720, 480
_LEFT, _RIGHT, _TOP, _BOTTOM = 76, 24, 48, 60
_INK, _FAINT, _CURVE, _PAPER = "#222222", "#dddddd", "#1f6fb4", "#ffffff"
_SCALE = 2
"""The PNG has so many pixels for each unit of the drawing."""


@dataclass(frozen=True)
class Line:
    """A line through points, in units of the drawing from its top left corner."""

    points: tuple[tuple[float, float], ...]
    colour: str
    width: float = 1.0


@dataclass(frozen=True)
class Dot:
    """A filled circle."""

    x: float
    y: float
    radius: float
    colour: str


@dataclass(frozen=True)
class Words:
    """A line of text: (x, y) is the middle of its height, at its start, middle or end."""

    x: float
    y: float
    text: str
    anchor: Literal["start", "middle", "end"] = "middle"
    size: int = 13
    upright: bool = True
    """Otherwise it reads upwards."""


Shape = Line | Dot | Words


def curve_drawing(points: Sequence[Mapping[str, float]], title: str) -> list[Shape]:
    """FID over CLIP score, a dot a psi. Raises `ValueError` for fewer than two points or values not finite."""
    xs, ys = [point["clip"] for point in points], [point["fid"] for point in points]
    if len(points) < 2 or not all(math.isfinite(value) for value in (*xs, *ys)):
        raise ValueError("curve: expected at least two points with finite figures")
    ticks_x, ticks_y = ticks(min(xs), max(xs)), ticks(min(ys), max(ys))

    def at(clip: float, fid: float) -> tuple[float, float]:
        x = (clip - ticks_x[0]) / (ticks_x[-1] - ticks_x[0])
        y = (fid - ticks_y[0]) / (ticks_y[-1] - ticks_y[0])
        return _LEFT + x * (WIDTH - _LEFT - _RIGHT), HEIGHT - _BOTTOM - y * (HEIGHT - _TOP - _BOTTOM)

    shapes: list[Shape] = [Words(WIDTH / 2, _TOP / 2, title, size=15)]
    for x in ticks_x:
        shapes.append(Line((at(x, ticks_y[0]), at(x, ticks_y[-1])), _FAINT))
        shapes.append(Words(at(x, 0)[0], HEIGHT - _BOTTOM + 16, _label(x, ticks_x)))
    for y in ticks_y:
        shapes.append(Line((at(ticks_x[0], y), at(ticks_x[-1], y)), _FAINT))
        shapes.append(Words(_LEFT - 8, at(0, y)[1], _label(y, ticks_y), "end"))
    shapes.append(Words((_LEFT + WIDTH - _RIGHT) / 2, HEIGHT - 18, "CLIP score (higher is better)"))
    shapes.append(Words(16, (_TOP + HEIGHT - _BOTTOM) / 2, "FID (lower is better)", upright=False))
    shapes.append(Line(tuple(at(x, y) for x, y in zip(xs, ys, strict=True)), _CURVE, 2.0))
    dots = [at(x, y) for x, y in zip(xs, ys, strict=True)]
    for point, dot in zip(points, dots, strict=True):
        shapes.append(Dot(*dot, 4, _CURVE))
        shapes.append(_beside(dot, dots, f"psi {point['psi']:g}"))
    return shapes


def _beside(dot: tuple[float, float], dots: Sequence[tuple[float, float]], text: str) -> Words:
    """Words beside a dot, where they are farthest from the line and within the page."""
    reach = 3.2 * len(text)  # to the middle of the words

    def room(side: int, drop: int) -> float:
        x, y = dot[0] + side * (9 + reach), dot[1] + drop
        if not _LEFT < x - reach <= x + reach < WIDTH - _RIGHT or not _TOP < y < HEIGHT - _BOTTOM:
            return -1.0
        return min(_distance((x, y), a, b, reach) for a, b in pairwise(dots))

    side, drop = max(((side, drop) for side in (1, -1) for drop in (-9, 11)), key=lambda place: room(*place))
    return Words(dot[0] + side * 9, dot[1] + drop, text, "start" if side > 0 else "end", 12)


def _distance(middle: tuple[float, float], a: tuple[float, float], b: tuple[float, float], reach: float) -> float:
    """About how far a line from a to b is from words around `middle`."""
    nearest = math.inf
    for step in range(33):
        x, y = (a[i] + (b[i] - a[i]) * step / 32 for i in (0, 1))
        nearest = min(nearest, math.hypot(max(0.0, abs(x - middle[0]) - reach), y - middle[1]))
    return nearest


def ticks(low: float, high: float, about: int = 6) -> list[float]:
    """Round numbers that reach from below `low` to above `high`."""
    if high <= low:
        margin = abs(low) * 0.1 or 1.0
        low, high = low - margin, high + margin
    rough = (high - low) / about
    power = 10 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [number * step for number in range(first, max(last, first + 1) + 1)]


def _label(value: float, all_ticks: Sequence[float]) -> str:
    digits = max(0, -math.floor(math.log10(all_ticks[1] - all_ticks[0]) + 1e-9))
    return f"{value:.{digits}f}"


def write_svg(path: Path, shapes: Sequence[Shape]) -> None:
    """The drawing as SVG, for any size."""
    rows = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        'font-family="sans-serif">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="{_PAPER}"/>',
    ]
    for shape in shapes:
        if isinstance(shape, Line):
            points = " ".join(f"{x:.2f},{y:.2f}" for x, y in shape.points)
            rows.append(
                f'<polyline points="{points}" fill="none" stroke="{shape.colour}" stroke-width="{shape.width:g}"/>'
            )
        elif isinstance(shape, Dot):
            rows.append(f'<circle cx="{shape.x:.2f}" cy="{shape.y:.2f}" r="{shape.radius:g}" fill="{shape.colour}"/>')
        else:
            turn = "" if shape.upright else f' transform="rotate(-90 {shape.x:.2f} {shape.y:.2f})"'
            rows.append(
                f'<text x="{shape.x:.2f}" y="{shape.y:.2f}" dy="0.35em" font-size="{shape.size}" fill="{_INK}" '
                f'text-anchor="{shape.anchor}"{turn}>{escape(shape.text)}</text>'
            )
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as part:
        part.write_text("\n".join([*rows, "</svg>"]) + "\n", encoding="utf-8")


def write_png(path: Path, shapes: Sequence[Shape]) -> None:
    """The drawing as PNG."""
    # Pillow's lines have hard edges: drawn larger and averaged down they are smooth.
    smooth = 2
    scale = _SCALE * smooth
    page = Image.new("RGB", (WIDTH * scale, HEIGHT * scale), _PAPER)
    pen = ImageDraw.Draw(page)
    for shape in shapes:
        if isinstance(shape, Line):
            points = [(x * scale, y * scale) for x, y in shape.points]
            pen.line(points, fill=shape.colour, width=max(1, round(shape.width * scale)), joint="curve")
        elif isinstance(shape, Dot):
            x, y, r = shape.x * scale, shape.y * scale, shape.radius * scale
            pen.ellipse((x - r, y - r, x + r, y + r), fill=shape.colour)
        else:
            _write(page, pen, shape, scale)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as part:
        page.resize((WIDTH * _SCALE, HEIGHT * _SCALE), Image.Resampling.LANCZOS).save(part, format="PNG")


def _write(page: Image.Image, pen: ImageDraw.ImageDraw, words: Words, scale: int) -> None:
    font = ImageFont.load_default(size=words.size * scale)
    x, y = round(words.x * scale), round(words.y * scale)
    if words.upright:
        anchor = {"start": "lm", "middle": "mm", "end": "rm"}[words.anchor]
        pen.text((x, y), words.text, fill=_INK, font=font, anchor=anchor)
        return
    left, top, right, bottom = (int(edge) for edge in font.getbbox(words.text))
    label = Image.new("RGB", (right - left + 2, bottom - top + 2), _PAPER)
    ImageDraw.Draw(label).text((1 - left, 1 - top), words.text, fill=_INK, font=font)
    label = label.transpose(Image.Transpose.ROTATE_90)
    page.paste(label, (x - label.width // 2, y - label.height // 2))
