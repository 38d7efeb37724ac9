"""A skydiver: skeleton, free-fall poses, jumpsuit, helmet and rig. Axes: x right, y to the head, z to the front."""

from dataclasses import dataclass

import numpy as np

from segtune.demo.solids import Solid, joined, rotation, tube
from segtune.demo.view import Vector


@dataclass(frozen=True)
class Pose:
    """Joints of the right side in metres from the pelvis; the left side mirrors them.

    Attributes:
        elbow: Of the arm.
        hand: The wrist.
        knee: Of the leg.
        foot: The ankle.
        pitch: Angle from belly-to-earth (0) over standing (90) and lying on the back (180) to head down (270), degrees.
    """

    elbow: tuple[float, float, float]
    hand: tuple[float, float, float]
    knee: tuple[float, float, float]
    foot: tuple[float, float, float]
    pitch: float


POSES: dict[str, Pose] = {
    "box": Pose((0.47, 0.50, -0.06), (0.50, 0.78, -0.10), (0.23, -0.38, 0.04), (0.27, -0.56, -0.36), 0),
    "spread": Pose((0.44, 0.60, -0.06), (0.66, 0.78, -0.14), (0.26, -0.40, -0.02), (0.44, -0.74, -0.20), 0),
    "track": Pose((0.36, 0.28, -0.04), (0.50, 0.03, -0.06), (0.15, -0.44, 0.0), (0.20, -0.86, -0.04), 345),
    "sit": Pose((0.47, 0.50, 0.02), (0.62, 0.76, 0.06), (0.20, -0.12, 0.40), (0.22, -0.54, 0.44), 90),
    "stand": Pose((0.46, 0.42, 0.02), (0.70, 0.54, 0.10), (0.18, -0.42, 0.06), (0.28, -0.84, 0.0), 85),
    "dive": Pose((0.34, 0.26, -0.05), (0.44, -0.02, -0.06), (0.12, -0.44, 0.02), (0.14, -0.87, 0.0), 300),
    "head down": Pose((0.44, 0.42, 0.04), (0.66, 0.30, 0.16), (0.26, -0.38, 0.10), (0.40, -0.76, -0.06), 270),
    "back": Pose((0.46, 0.46, 0.10), (0.62, 0.62, 0.24), (0.22, -0.32, 0.26), (0.24, -0.68, 0.30), 170),
}

SUITS: tuple[tuple[float, float, float], ...] = (
    (0.72, 0.09, 0.09), (0.10, 0.22, 0.66), (0.07, 0.07, 0.08), (0.86, 0.86, 0.84), (0.90, 0.42, 0.06),
    (0.34, 0.42, 0.22), (0.62, 0.54, 0.40), (0.28, 0.44, 0.62), (0.40, 0.42, 0.45), (0.90, 0.74, 0.10),
    (0.12, 0.42, 0.30), (0.46, 0.36, 0.26), (0.40, 0.16, 0.46), (0.62, 0.74, 0.84),
)  # fmt: skip
"""RGB of suits, rigs and helmets: signal colours, and the colours of sky, clouds and fields."""
SKINS: tuple[tuple[float, float, float], ...] = ((0.80, 0.60, 0.48), (0.62, 0.43, 0.32), (0.36, 0.24, 0.18))


def person(generator: np.random.Generator, pose: Pose) -> Solid:
    """A person of random suit and build in a pose, slightly varied."""
    main, accent, rig, head = (np.array(SUITS[int(generator.integers(len(SUITS)))]) for _ in range(4))
    skin = np.array(SKINS[int(generator.integers(len(SKINS)))])
    gloves = skin if generator.random() < 0.4 else np.array([0.08, 0.08, 0.09])
    legs = main if generator.random() < 0.65 else accent
    loose = float(generator.uniform(1.0, 1.35))
    parts = [_torso(generator, main, accent, loose), *_rig(rig, accent), *_head(head, skin)]
    for sign in (-1.0, 1.0):
        mirror = np.array([sign, 1, 1])
        elbow, hand, knee, foot = (
            np.array(joint) * mirror + generator.normal(0, 0.045, 3)
            for joint in (pose.elbow, pose.hand, pose.knee, pose.foot)
        )
        parts += _arm(generator, np.array([0.17 * sign, 0.49, 0]), elbow, hand, (main, accent, gloves), loose)
        parts += _leg(generator, np.array([0.095 * sign, -0.02, 0]), knee, foot, (legs, accent), loose)
    return joined(parts)


def person_turn(generator: np.random.Generator, pose: Pose, heading: float | None = None) -> Vector:
    """Rotation (3, 3) from the person's axes to the world's, for a heading in radians or a random one."""
    # Belly to earth: the head points north, the front down.
    belly = np.array([[-1.0, 0, 0], [0, 1, 0], [0, 0, -1]])
    if heading is None:
        heading = float(generator.uniform(0, 2 * np.pi))
        sway = generator.normal(0, 0.22, 2)
    else:
        sway = generator.normal(0, 0.08, 2)
    upright = rotation(0, np.deg2rad(pose.pitch) + sway[1]) @ belly
    return np.asarray(rotation(2, heading) @ rotation(1, sway[0]) @ upright)


def _limb(
    generator: np.random.Generator,
    joints: list[Vector],
    radii: list[float],
    colors: list[Vector],
    shares: list[float],
    loose: float,
) -> Solid:
    """A sleeve or trouser leg through joints; ``colors`` change at ``shares`` of its length; the wind crumples it."""
    at = np.linspace(0, 1, 12)
    knots = np.linspace(0, 1, len(joints))
    path = np.stack([np.interp(at, knots, [joint[axis] for joint in joints]) for axis in range(3)], axis=1)
    # Rounds the elbow or knee.
    path[1:-1] = (path[:-2] + 2 * path[1:-1] + path[2:]) / 4
    radius = np.interp(at, np.linspace(0, 1, len(radii)), radii)
    radius = radius * loose * (1 + 0.09 * (loose - 0.7) * generator.standard_normal(len(at)))
    bands = np.searchsorted(shares, (np.arange(len(at) + 1) - 0.5) / len(at))
    faces = np.array(colors)[bands][:, None].repeat(10, axis=1)
    direction = joints[-1] - joints[0]
    side = np.cross(direction, [0.3, 0.2, 1.0])
    return tube(path, radius, radius, faces, side=side.tolist(), points=10)


def _arm(
    generator: np.random.Generator,
    shoulder: Vector,
    elbow: Vector,
    hand: Vector,
    colors: tuple[Vector, Vector, Vector],
    loose: float,
) -> list[Solid]:
    """Sleeve with a coloured forearm, and a hand."""
    main, accent, gloves = colors
    reach = hand + (hand - elbow) * 0.34
    sleeve = _limb(
        generator,
        [shoulder, elbow, hand],
        [0.075, 0.068, 0.055, 0.05, 0.042],
        [main, accent, main],
        [0.55, 0.85],
        loose,
    )
    path = np.linspace(hand, reach, 5)
    side = np.cross(hand - elbow, [0.1, 0.3, 1.0]).tolist()
    palm = tube(
        path,
        np.array([0.03, 0.05, 0.055, 0.045, 0.02]),
        np.array([0.028, 0.034, 0.032, 0.026, 0.012]),
        gloves,
        side=side,
        points=8,
    )
    return [sleeve, palm]


def _leg(
    generator: np.random.Generator, hip: Vector, knee: Vector, foot: Vector, colors: tuple[Vector, Vector], loose: float
) -> list[Solid]:
    """Trouser leg with a coloured shin, and a shoe."""
    main, accent = colors
    trousers = _limb(
        generator, [hip, knee, foot], [0.105, 0.09, 0.075, 0.07, 0.055], [main, accent, main], [0.62, 0.8], loose
    )
    shin = (foot - knee) / np.linalg.norm(foot - knee)
    toe = foot + 0.14 * shin + np.array([0, 0, 0.12])
    heel = foot - np.array([0, 0, 0.04])
    sole = np.array([0.10, 0.10, 0.11]) if generator.random() < 0.6 else np.array([0.82, 0.80, 0.76])
    path = np.linspace(heel, toe, 6)
    shoe = tube(
        path,
        np.array([0.03, 0.05, 0.052, 0.055, 0.05, 0.02]),
        np.array([0.04, 0.06, 0.055, 0.045, 0.035, 0.015]),
        sole,
        side=(1, 0, 0),
        points=8,
    )
    return [trousers, shoe]


def _torso(generator: np.random.Generator, main: Vector, accent: Vector, loose: float) -> Solid:
    """Pelvis to neck, slightly arched, with side panels and a chest strap."""
    y = np.array([-0.13, -0.09, 0.0, 0.10, 0.20, 0.30, 0.40, 0.48, 0.54, 0.60, 0.64])
    wide = np.array([0.08, 0.15, 0.175, 0.165, 0.16, 0.17, 0.19, 0.20, 0.16, 0.08, 0.06])
    deep = np.array([0.06, 0.10, 0.12, 0.115, 0.11, 0.12, 0.125, 0.115, 0.09, 0.065, 0.06])
    path = np.stack([np.zeros_like(y), y, 0.05 * np.sin((y + 0.1) * 3)], axis=1)
    crumple = 1 + 0.03 * generator.standard_normal(len(y)) * loose
    points = 16
    colors = np.broadcast_to(main, (len(y) + 1, points, 3)).copy()
    # The points run from the right over the back or front; the panels are at both sides.
    for panel in (15, 0, 7, 8):
        colors[2:9, panel] = accent
    colors[7] = 0.09
    return tube(path, wide * (0.9 + 0.1 * loose), deep * crumple, colors, side=(1, 0, 0), points=points)


def _rig(color: Vector, accent: Vector) -> list[Solid]:
    """The parachute's container on the back, with a coloured flap."""
    y = np.array([0.0, 0.02, 0.10, 0.22, 0.34, 0.36, 0.46, 0.53, 0.55])
    path = np.stack([np.zeros_like(y), y, np.full_like(y, -0.155)], axis=1)
    wide = np.array([0.08, 0.13, 0.145, 0.15, 0.145, 0.14, 0.14, 0.12, 0.06])
    deep = np.array([0.04, 0.075, 0.09, 0.095, 0.09, 0.07, 0.085, 0.07, 0.03])
    colors = np.broadcast_to(color, (len(y) + 1, 14, 3)).copy()
    colors[5] = accent
    colors[6:9, [3, 4, 9, 10]] = accent * 0.8
    return [tube(path, wide, deep, colors, side=(1, 0, 0), points=14, roundness=3.4)]


def _head(color: Vector, skin: Vector) -> list[Solid]:
    """A helmet with visor, and the neck."""
    angle = np.linspace(-0.5 * np.pi, 0.5 * np.pi, 11)[1:-1]
    radius = 0.142 * np.cos(angle) ** 0.9
    path = np.stack([np.zeros(9), 0.755 + 0.15 * np.sin(angle), np.full(9, 0.03)], axis=1)
    colors = np.broadcast_to(color, (10, 18, 3)).copy()
    front = np.array([0.06, 0.07, 0.09])
    # Along the path upwards with side to the right, a quarter of the circle is the back, three quarters the front.
    for row in (3, 4, 5):
        colors[row, 10:17] = front
    colors[1:3, 11:16] = skin
    helmet = tube(path, radius * 0.92, radius * 1.05, colors, side=(1, 0, 0), points=18, shine=0.7)
    neck = np.array([[0, 0.56, 0.03], [0, 0.62, 0.03], [0, 0.68, 0.03]])
    return [helmet, tube(neck, np.full(3, 0.065), np.full(3, 0.065), skin, side=(1, 0, 0), points=8)]
