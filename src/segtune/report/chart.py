"""Points -> a line chart as inline SVG. Hovering a point's column shows its value; style.css gives the colours."""

import math
from collections.abc import Sequence
from html import escape

Point = tuple[float, float]

WIDTH, HEIGHT = 360, 230
LEFT, RIGHT, TOP, BOTTOM = 58, 12, 24, 42
"""Margins of the plot, for the ticks and the value hovered."""
MAX_POINTS = 500
"""More are thinned out evenly: no screen shows them."""
MAX_DOTS = 40
"""Up to here each point has a dot."""
STEPS = (1, 2, 5, 10)


def line_chart(title: str, x_name: str, points: Sequence[Point], marked: float | None = None) -> str:
    """A line chart; the vertical axis begins at 0.

    Args:
        title: What is drawn, for people who can't see it.
        x_name: Name of the horizontal axis.
        points: (x, y) of at least one point, x ascending, y 0 or above.
        marked: The x of a point to emphasise.
    """
    shown = thinned(points, marked)
    first, last = shown[0][0], shown[-1][0]
    # A single point stands in the middle.
    low, high = (first - 0.5, last + 0.5) if first == last else (first, last)
    y_ticks = ticks(0, max(y for _, y in shown) or 1)
    top = y_ticks[-1]

    def place(x: float, y: float) -> Point:
        across = LEFT + (x - low) / (high - low) * (WIDTH - LEFT - RIGHT)
        return round(across, 1), round(HEIGHT - BOTTOM - y / top * (HEIGHT - TOP - BOTTOM), 1)

    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(_in_words(title, x_name, points))}">']
    for tick in y_ticks:
        _, y = place(low, tick)
        parts.append(f'<path class="grid" d="M{LEFT} {y}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text class="tick" x="{LEFT - 8}" y="{y + 4}" text-anchor="end">{_shown(tick)}</text>')
    for tick in ticks(low, high, whole=True):
        if low <= tick <= high:
            x, _ = place(tick, 0)
            parts.append(
                f'<text class="tick" x="{x}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{_shown(tick)}</text>'
            )
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text class="tick" x="{middle}" y="{HEIGHT - 4}" text-anchor="middle">{escape(x_name)}</text>')
    places = [place(x, y) for x, y in shown]
    parts.append(f'<path class="curve" d="M{"L".join(f"{x} {y}" for x, y in places)}"/>')
    width = (WIDTH - LEFT - RIGHT) / max(1, len(shown) - 1)
    for (x, y), (across, down) in zip(shown, places, strict=True):
        kind = "marked" if x == marked else "dot" if len(shown) <= MAX_DOTS else "hidden"
        parts.append(
            f'<g class="point {kind}"><rect x="{across - width / 2:.1f}" y="0" width="{width:.1f}" height="{HEIGHT}"/>'
            f'<circle cx="{across}" cy="{down}" r="{4 if kind == "marked" else 3}"/>'
            f'<text x="{WIDTH - RIGHT}" y="13" text-anchor="end">{escape(x_name)} {x:g}: {_shown(y)}</text></g>'
        )
    return "".join([*parts, "</svg>"])


def thinned(points: Sequence[Point], marked: float | None = None) -> list[Point]:
    """At most about ``MAX_POINTS`` of the points: the last and the marked one among them."""
    stride = math.ceil(len(points) / MAX_POINTS)
    return [
        point
        for index, point in enumerate(points)
        if index % stride == 0 or index == len(points) - 1 or point[0] == marked
    ]


def ticks(low: float, high: float, whole: bool = False) -> list[float]:
    """Round numbers, three to six of them, from ``low`` or below to ``high`` or above.

    Args:
        low: Where the axis begins.
        high: Where it ends; above ``low``.
        whole: Whether only whole numbers make sense.
    """
    rough = (high - low) / 5
    magnitude = 10 ** math.floor(math.log10(rough))
    # Rounding errors must not make a step of 0.2 too short for a fifth of 1.
    step = next(factor * magnitude for factor in STEPS if factor * magnitude >= rough * (1 - 1e-9))
    step = max(1, round(step)) if whole else step
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [float(f"{index * step:.12g}") for index in range(first, last + 1)]


def _shown(value: float) -> str:
    """Four digits, without the zeros of ``5e-06``."""
    return f"{value:.4g}".replace("e-0", "e-").replace("e+0", "e")


def _in_words(title: str, x_name: str, points: Sequence[Point]) -> str:
    (first, start), (last, end) = points[0], points[-1]
    if len(points) == 1:
        return f"{title}: {start:.4g} at {x_name} {first:g}"
    values = [y for _, y in points]
    return (
        f"{title}: from {start:.4g} at {x_name} {first:g} to {end:.4g} at {x_name} {last:g}; lowest {min(values):.4g},"
        f" highest {max(values):.4g}"
    )
