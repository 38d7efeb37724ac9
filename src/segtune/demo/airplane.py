"""A jump plane: fuselage, wings, tail, gear and paint. Axes: x to the nose, y to the left wing, z up."""

import numpy as np

from segtune.demo.solids import Solid, joined, loft, rotation, tube
from segtune.demo.view import Vector

PAINTS: tuple[tuple[float, float, float], ...] = (
    (0.90, 0.90, 0.90), (0.93, 0.91, 0.84), (0.90, 0.90, 0.90), (0.62, 0.65, 0.68), (0.10, 0.12, 0.12),
    (0.30, 0.36, 0.28), (0.55, 0.68, 0.80), (0.72, 0.66, 0.54),
)  # fmt: skip
"""RGB of hulls: mostly white, as clouds are, but also dark, green, blue and sand."""
TRIMS: tuple[tuple[float, float, float], ...] = (
    (0.74, 0.07, 0.12), (0.08, 0.16, 0.48), (0.92, 0.60, 0.06), (0.05, 0.38, 0.30), (0.12, 0.12, 0.14),
    (0.16, 0.44, 0.76), (0.88, 0.88, 0.88),
)  # fmt: skip
"""RGB of stripes, belly and tail."""
DARK = np.array([0.05, 0.06, 0.08])
PROFILE = np.array([
    # x, half width, half height, z of the middle, in metres.
    [5.20, 0.22, 0.24, -0.12], [4.90, 0.46, 0.46, -0.10], [4.20, 0.56, 0.60, -0.05], [3.20, 0.66, 0.74, 0.02],
    [2.50, 0.72, 0.84, 0.10], [1.75, 0.78, 1.00, 0.25], [0.00, 0.80, 1.02, 0.26], [-2.00, 0.76, 0.96, 0.28],
    [-3.40, 0.58, 0.72, 0.40], [-4.80, 0.32, 0.46, 0.58], [-6.00, 0.12, 0.26, 0.74], [-6.30, 0.05, 0.12, 0.80],
])  # fmt: skip


def airplane(generator: np.random.Generator) -> Solid:
    """An airplane of random type and paint."""
    hull = np.array(PAINTS[int(generator.integers(len(PAINTS)))])
    first, second = (np.array(TRIMS[int(index)]) for index in generator.choice(len(TRIMS), 2, replace=False))
    high, twin = bool(generator.random() < 0.7), bool(generator.random() < 0.35)
    belly = first if generator.random() < 0.45 else hull
    parts = [_fuselage(hull, belly, first, second), *_wings(hull, first, high), *_tail(hull, first, second)]
    if high:
        parts += [*_gear(hull), *_struts(hull)]
    wing_z = 1.16 if high else -0.42
    if twin:
        parts += [part for y in (-2.5, 2.5) for part in _engine(np.array([1.2, y, wing_z - 0.05]), hull, first)]
    parts += _propeller(np.array([5.3, 0, -0.12]), second) if not twin else [_nose(hull)]
    return joined(parts)


def airplane_turn(generator: np.random.Generator) -> Vector:
    """Rotation (3, 3) from the airplane's axes to the world's: any heading, a slight climb or descent, some bank."""
    bank, climb = generator.normal(0, 0.24), generator.normal(0, 0.12)
    return rotation(2, generator.uniform(0, 2 * np.pi)) @ rotation(1, climb) @ rotation(0, bank)


def _fuselage(hull: Vector, belly: Vector, first: Vector, second: Vector) -> Solid:
    """The hull with belly, two stripes, windscreen, windows and an open door."""
    x = np.concatenate([np.linspace(5.2, 2.6, 9), np.linspace(2.3, -3.0, 22), np.linspace(-3.4, -6.3, 8)])
    wide, tall, z = (np.interp(-x, -PROFILE[:, 0], PROFILE[:, column]) for column in (1, 2, 3))
    points = 28
    path = np.stack([x, np.zeros_like(x), z], axis=1)
    colors = np.broadcast_to(hull, (len(x) + 1, points, 3)).copy()
    # Height of each face's middle around the section, -1 at the belly to 1 at the roof, and its side.
    around = (np.arange(points) + 0.5) * 2 * np.pi / points
    level, side = _levels(around)
    colors[:, level < -0.45] = belly
    colors[:, (level > -0.45) & (level < -0.22)] = first
    colors[:, (level > -0.22) & (level < -0.05)] = second
    section = (np.append(x, x[-1]) + np.insert(x, 0, x[0])) / 2
    colors[np.ix_((section < 2.45) & (section > 1.55), (level > 0.25) & (level < 0.97))] = DARK
    panes = (section < 1.3) & (section > -2.4) & (np.arange(len(section)) % 3 != 0)
    colors[np.ix_(panes, (level > 0.22) & (level < 0.62))] = DARK
    colors[np.ix_((section < -1.0) & (section > -2.5), (level > -0.6) & (level < 0.72) & (side > 0))] = DARK * 0.6
    return tube(path, wide, tall, colors, side=(0, 1, 0), points=points, roundness=2.5, shine=0.5)


def _levels(around: Vector) -> tuple[Vector, Vector]:
    """Height (-1..1) and left (1) or right (-1) of the points of a section whose path runs backwards along x."""
    # tube() puts angle 0 at ``side`` (left) and 90 degrees along tangent x side: (-x) x (y) = -z.
    return -np.sin(around), np.sign(np.cos(around))


def _blade(root: Vector, tip: Vector, chords: tuple[float, float], thickness: float, colors: Vector) -> Solid:
    """A wing or fin, leading edge from ``root`` to ``tip``; chords along -x; ``colors`` (S + 1, 3) from the root."""
    sections = len(colors) - 1
    share = np.linspace(0, 1, sections)[:, None, None]
    outline = np.array([
        [0, 0], [-0.04, 0.6], [-0.15, 1], [-0.35, 0.95], [-0.7, 0.5], [-1, 0.04], [-0.7, -0.25], [-0.35, -0.5],
        [-0.15, -0.55], [-0.04, -0.35],
    ])  # fmt: skip
    chord = chords[0] + (chords[1] - chords[0]) * share
    across = np.cross(tip - root, [-1.0, 0, 0])
    across /= np.linalg.norm(across)
    if across[2] < 0:
        across = -across
    section = outline[:, :1] * np.array([1.0, 0, 0]) + outline[:, 1:] * across * thickness / 2
    rings = root + (tip - root) * share + section * chord
    ends = [np.broadcast_to(rings[end].mean(axis=0), (1, len(outline), 3)) for end in (0, -1)]
    return loft(np.concatenate([ends[0], rings, ends[1]]), colors[:, None].repeat(len(outline), axis=1), 0.4)


def _wings(hull: Vector, trim: Vector, high: bool) -> list[Solid]:
    """Both wings, with coloured tips."""
    colors = np.broadcast_to(hull, (15, 3)).copy()
    colors[-3:] = trim
    z, rise = (1.22, 0.15) if high else (-0.5, 0.75)
    return [
        _blade(np.array([1.0, 0.0, z]), np.array([0.65, 7.9 * side, z + rise]), (2.0, 1.25), 0.14, colors)
        for side in (-1, 1)
    ]


def _tail(hull: Vector, first: Vector, second: Vector) -> list[Solid]:
    """Fin and stabilisers."""
    fin = np.broadcast_to(first, (9, 3)).copy()
    fin[4:6] = second
    flat = np.broadcast_to(hull, (8, 3)).copy()
    flat[-2:] = first
    return [
        _blade(np.array([-4.0, 0, 0.7]), np.array([-5.5, 0, 2.9]), (2.2, 1.15), 0.10, fin),
        *(
            _blade(np.array([-4.9, 0, 0.75]), np.array([-5.2, 3.1 * side, 0.8]), (1.4, 0.9), 0.10, flat)
            for side in (-1, 1)
        ),
    ]


def _rod(start: Vector, end: Vector, radius: float, color: Vector) -> Solid:
    """A thin straight tube."""
    side = np.cross(end - start, [0.2, 0.5, 0.9]).tolist()
    return tube(np.linspace(start, end, 7), np.full(7, radius), np.full(7, radius), color, side=side, points=6)


def _gear(hull: Vector) -> list[Solid]:
    """Three wheels on their legs."""
    parts: list[Solid] = []
    for top, wheel in (
        ((0.0, 0.55, -0.6), (-0.1, 1.65, -1.65)), ((0.0, -0.55, -0.6), (-0.1, -1.65, -1.65)),
        ((4.0, 0.0, -0.4), (4.1, 0.0, -1.60)),
    ):  # fmt: skip
        hub = np.array(wheel)
        parts.append(_rod(np.array(top), hub, 0.09, hull * 0.8))
        axle = hub + np.linspace(-0.14, 0.14, 4)[:, None] * np.array([0, 1.0, 0])
        radii = np.array([0.26, 0.36, 0.36, 0.26])
        parts.append(tube(axle, radii, radii, DARK * 1.6, side=(1, 0, 0), points=12))
    return parts


def _struts(hull: Vector) -> list[Solid]:
    """From the hull to below the wings."""
    return [
        _rod(np.array([0.3, 0.7 * side, -0.45]), np.array([0.25, 3.7 * side, 1.2]), 0.085, hull * 0.9)
        for side in (-1, 1)
    ]


def _engine(place: Vector, hull: Vector, trim: Vector) -> list[Solid]:
    """A nacelle with propeller."""
    x = np.array([1.15, 1.0, 0.5, -0.5, -1.4, -1.9])
    path = place + x[:, None] * np.array([1.0, 0, 0])
    radii = np.array([0.18, 0.32, 0.40, 0.40, 0.28, 0.06])
    colors = np.broadcast_to(hull, (7, 14, 3)).copy()
    colors[:2] = trim
    return [tube(path, radii, radii, colors, side=(0, 1, 0), points=14, shine=0.5), *_propeller(path[0], trim)]


def _nose(hull: Vector) -> Solid:
    """The round nose of an airplane without an engine there."""
    x = np.array([5.2, 5.5, 5.7, 5.78])
    path = np.stack([x, np.zeros(4), np.full(4, -0.12)], axis=1)
    return tube(
        path, np.array([0.24, 0.2, 0.12, 0.03]), np.array([0.25, 0.2, 0.12, 0.03]), hull, side=(0, 1, 0), points=14
    )


def _propeller(hub: Vector, trim: Vector) -> list[Solid]:
    """A spinner and three blades."""
    x = np.array([-0.1, 0.1, 0.3, 0.4])
    radii = np.array([0.26, 0.24, 0.14, 0.03])
    path = hub + x[:, None] * np.array([1.0, 0, 0])
    parts = [tube(path, radii, radii, trim, side=(0, 1, 0), points=12, shine=0.7)]
    for angle in np.arange(3) * 2 * np.pi / 3 + 0.5:
        out = np.array([0, np.cos(angle), np.sin(angle)])
        blade = hub + np.linspace(0.1, 1.35, 6)[:, None] * out
        wide = np.array([0.06, 0.10, 0.12, 0.12, 0.10, 0.05])
        parts.append(tube(blade, wide, wide * 0.3, DARK * 2, side=np.cross(out, [1.0, 0, 0.2]).tolist(), points=6))
    return parts
