"""Scenes of skydiving, drawn from random numbers: a picture and the outlines that a careful person would draw in it."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from segtune.demo.airplane import airplane, airplane_turn
from segtune.demo.backdrop import draw_backdrop
from segtune.demo.noise import Floats
from segtune.demo.person import POSES, person, person_turn
from segtune.demo.solids import Solid, Sprite, draw_solid
from segtune.demo.view import Light, Vector, View

CLASS_NAMES = ("person", "airplane", "ground", "sky")
"""In the order in which a scene lists its objects."""
PAINT_ORDER = ("sky", "ground", "airplane", "person")
"""From the bottom to the top: how the picture is painted, and how its outlines have to be."""

OUTLINE_SCALE = 4
"""Outlines are searched in a picture this many times larger, so that they follow parts of pixels."""
OUTLINE_TOLERANCE = 0.35
"""How far an outline may be from the border it follows, in pixels."""
SMALLEST_AREA = 14
"""Figures of fewer visible pixels are left out: nobody would outline them."""


@dataclass(frozen=True)
class SceneObject:
    """One outlined object.

    Attributes:
        class_name: One of CLASS_NAMES.
        outline: Corners x, y of a polygon, float64 (N, 2), in pixels; (0, 0) is the picture's top left corner.
    """

    class_name: str
    outline: npt.NDArray[np.float64]


@dataclass(frozen=True)
class Scene:
    """A picture and its objects.

    Attributes:
        image: uint8 (H, W, 3) RGB.
        objects: Listed persons first, then airplanes, ground and sky; overlapping ones are outlined in full.
    """

    image: npt.NDArray[np.uint8]
    objects: list[SceneObject]


@dataclass(frozen=True)
class Figure:
    """A solid to be placed: what it is, how it is turned, and where (x, y in pixels, distance in metres)."""

    class_name: str
    solid: Solid
    turn: Vector
    place: tuple[float, float, float]


def draw_scene(generator: np.random.Generator, height: int, width: int) -> Scene:
    """Draw one scene; the same generator state gives the same scene.

    Args:
        generator: Source of all choices.
        height: Of the picture, in pixels; at least 32.
        width: Of the picture, in pixels; at least 32.
    """
    kind = str(generator.choice(["horizon", "exit", "down", "up"], p=[0.45, 0.25, 0.18, 0.12]))
    view, light = _view(generator, kind, height, width), _light(generator)
    image, ground_share = draw_backdrop(generator, view, light)
    found: dict[str, list[SceneObject]] = {name: [] for name in CLASS_NAMES}
    figures = _figures(generator, kind, view)
    # Painted from far to near, but people over airplanes always, as the paint order has it.
    figures.sort(key=lambda figure: (figure.class_name == "person", -figure.place[2]))
    for figure in figures:
        sprite = draw_solid(figure.solid, figure.turn, figure.place, view, light)
        if sprite is None or (sprite.opacity > 0.5).sum() < SMALLEST_AREA:
            continue
        sprite = _blurred(generator, sprite)
        outline = outline_of(sprite.opacity) + np.array([sprite.left, sprite.top])
        if len(outline) < 3:
            continue
        _lay_over(image, sprite, light, figure.place[2])
        found[figure.class_name].insert(0, SceneObject(figure.class_name, _rounded(outline, height, width)))
    # A sliver of ground or sky in a corner may have no outline.
    if len(border := outline_of(ground_share)) >= 3:
        found["ground"].append(SceneObject("ground", _rounded(border, height, width)))
    if (ground_share < 0.5).any():
        frame = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float64)
        found["sky"].append(SceneObject("sky", frame))
    return Scene(_developed(generator, image), [item for name in CLASS_NAMES for item in found[name]])


def outline_of(opacity: Floats) -> Vector:
    """The outline of the largest connected area where ``opacity`` (H, W) is above one half.

    Returns:
        float64 (N, 2), x, y in pixels from the array's top left corner; N is 0 where there is no such area.
    """
    # The edge is repeated outside, so that what is cut off by the edge is outlined up to it.
    padded = cv2.copyMakeBorder(opacity, 2, 2, 2, 2, cv2.BORDER_REPLICATE)
    large = cv2.resize(padded, None, fx=OUTLINE_SCALE, fy=OUTLINE_SCALE, interpolation=cv2.INTER_LINEAR)
    mask = (np.asarray(large) > 0.5).astype(np.uint8)
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not contours:
        return np.zeros((0, 2))
    contour = max(contours, key=cv2.contourArea)
    corners = cv2.approxPolyDP(contour, OUTLINE_TOLERANCE * OUTLINE_SCALE, True)[:, 0]
    points = (np.asarray(corners, np.float64) + 0.5) / OUTLINE_SCALE - 2
    return np.clip(points, 0, [opacity.shape[1], opacity.shape[0]])


def _rounded(outline: Vector, height: int, width: int) -> Vector:
    """The outline inside the picture, with two decimals, as annotation tools write it."""
    return np.clip(np.round(outline, 2), 0, [width, height])


def _view(generator: np.random.Generator, kind: str, height: int, width: int) -> View:
    """A camera turned as the kind of scene asks."""
    low, high = {"horizon": (-26, 10), "exit": (4, 62), "down": (-88, -48), "up": (28, 70)}[kind]
    pitch, roll = np.deg2rad(generator.uniform(low, high)), np.deg2rad(generator.normal(0, 11))
    return View.turned(height, width, np.deg2rad(generator.uniform(68, 112)), pitch, roll)


def _light(generator: np.random.Generator) -> Light:
    """Weather and time of day."""
    height, azimuth = generator.uniform(0.2, 1.25), generator.normal(np.pi, 1.3)
    sun = np.array([np.cos(height) * np.sin(azimuth), np.cos(height) * np.cos(azimuth), np.sin(height)])
    low = 1 - sun[2]
    cloudiness = float(generator.beta(0.9, 1.3))
    warm = np.array([1.02, 1 - 0.16 * low**2, 0.95 - 0.42 * low**2])
    zenith = np.array([0.10, 0.24, 0.50]) * generator.uniform(0.75, 1.35) + generator.normal(0, 0.015, 3)
    horizon = np.array([0.66, 0.77, 0.90]) * generator.uniform(0.82, 1.05)
    horizon = horizon + (np.array([0.98, 0.80, 0.62]) - horizon) * low**3 * 1.1
    grey = np.array([0.60, 0.63, 0.68]) * generator.uniform(0.85, 1.1)
    closed = max(0.0, cloudiness - 0.45) / 0.55
    return Light(
        sun,
        warm * (1.0 - 0.72 * closed),
        zenith + (grey * 0.85 - zenith) * closed * 0.75,
        horizon + (grey * 1.1 - horizon) * closed * 0.7,
        np.array([0.38, 0.37, 0.33]) * (1 - 0.3 * closed),
        float(generator.uniform(3.0, 13.0)),
        cloudiness,
    )


def _figures(generator: np.random.Generator, kind: str, view: View) -> list[Figure]:
    """Who and what is in the scene."""
    figures: list[Figure] = []
    with_airplane = {"horizon": 0.35, "exit": 1.0, "down": 0.12, "up": 0.55}[kind]
    if generator.random() < with_airplane:
        near, far = (13, 42) if kind == "exit" else (22, 95)
        figures.append(_airplane(generator, view, float(np.exp(generator.uniform(np.log(near), np.log(far))))))
    if generator.random() < (0.6 if kind == "down" else 0.16):
        figures += _formation(generator, view)
    fewest = 0 if figures else 1
    for _ in range(int(generator.integers(fewest, 5))):
        figures.append(_person(generator, view, figures[0] if kind == "exit" else None))
    return figures


def _spot(generator: np.random.Generator, view: View, spread: float) -> tuple[float, float]:
    """A place in the picture; ``spread`` 0 is the middle, 1 everywhere."""
    x, y = 0.5 + (generator.random(2) - 0.5) * spread
    return float(x * view.width), float(y * view.height)


def _airplane(generator: np.random.Generator, view: View, distance: float) -> Figure:
    """An airplane; a near one is in the middle, so that it is seen."""
    spot = _spot(generator, view, 0.55 if distance < 30 else 0.8)
    return Figure("airplane", airplane(generator), airplane_turn(generator), (*spot, distance))


def _person(generator: np.random.Generator, view: View, leaving: Figure | None) -> Figure:
    """One person, anywhere, or about the airplane that is left."""
    pose = POSES[str(generator.choice(list(POSES), p=[0.26, 0.14, 0.14, 0.12, 0.1, 0.1, 0.09, 0.05]))]
    distance = float(np.exp(generator.uniform(np.log(2.1), np.log(26))))
    spot = _spot(generator, view, 0.9)
    if leaving is not None and generator.random() < 0.7:
        distance = max(4.0, leaving.place[2] * generator.uniform(0.6, 1.0))
        reach = view.focal / leaving.place[2] * 6
        spot = (leaving.place[0] + generator.normal(0, reach), leaving.place[1] + abs(generator.normal(0, reach)))
    return Figure("person", person(generator, pose), person_turn(generator, pose), (*spot, distance))


def _formation(generator: np.random.Generator, view: View) -> list[Figure]:
    """People in a ring, belly to earth, holding hands."""
    count = int(generator.integers(2, 7))
    x, y = _spot(generator, view, 0.5)
    distance = float(np.exp(generator.uniform(np.log(5), np.log(16))))
    radius = 0.55 + 0.19 * count
    axes = view.axes_at(x, y)
    start = generator.uniform(0, 2 * np.pi)
    figures = []
    for angle in start + np.arange(count) * 2 * np.pi / count + generator.normal(0, 0.06, count):
        away = radius * np.array([np.cos(angle), np.sin(angle), generator.normal(0, 0.06)])
        right, down, forward = axes @ away
        scale = view.focal / (distance + forward)
        # The head, which points north when unturned, is turned to the middle of the ring.
        turn = person_turn(generator, POSES["box"], float(angle + np.pi / 2))
        place = (x + right * scale, y + down * scale, distance + forward)
        figures.append(Figure("person", person(generator, POSES["box"]), turn, place))
    return figures


def _blurred(generator: np.random.Generator, sprite: Sprite) -> Sprite:
    """Most figures stay as they are; some are moved or out of focus."""
    kind = generator.random()
    if kind < 0.68 or min(sprite.opacity.shape) < 24:
        return sprite
    sharp = np.dstack([sprite.color, sprite.opacity])
    if kind < 0.84:
        soft = cv2.GaussianBlur(sharp, (0, 0), generator.uniform(0.4, 0.9), borderType=cv2.BORDER_REPLICATE)
    else:
        soft = cv2.filter2D(sharp, -1, _streak(generator, 5), borderType=cv2.BORDER_REPLICATE)
    values = np.asarray(soft, np.float32)
    return Sprite(values[:, :, :3], values[:, :, 3], sprite.top, sprite.left)


def _streak(generator: np.random.Generator, size: int) -> Floats:
    """The path of a point during the exposure, float32 (size, size), sum 1."""
    kernel = np.zeros((size, size), np.uint8)
    direction = generator.uniform(0, np.pi)
    reach = (size // 2) * 8 * np.array([np.cos(direction), np.sin(direction)])
    middle = np.array([size // 2, size // 2]) * 8
    start, end = (middle - reach).astype(int).tolist(), (middle + reach).astype(int).tolist()
    cv2.line(kernel, start, end, 255, 1, cv2.LINE_AA, 3)
    return np.asarray(kernel / kernel.sum(), np.float32)


def _lay_over(image: Floats, sprite: Sprite, light: Light, distance: float) -> None:
    """Paint a sprite into the picture, with a little haze before far ones."""
    height, width = sprite.opacity.shape
    part = image[sprite.top : sprite.top + height, sprite.left : sprite.left + width]
    haze = np.float32(1 - np.exp(-distance / 260))
    opacity = sprite.opacity[:, :, None]
    color = sprite.color * (1 - haze) + light.horizon.astype(np.float32) * haze * opacity
    part[:] = part * (1 - opacity) + color


def _developed(generator: np.random.Generator, image: Floats) -> npt.NDArray[np.uint8]:
    """What lens, sensor and camera make of the light: exposure, contrast, colour, vignette, blur and noise.

    Returns:
        uint8 (H, W, 3) RGB.
    """
    height, width = image.shape[:2]
    if generator.random() < 0.2:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), generator.uniform(0.4, 0.8)), np.float32)
    y, x = np.ogrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    image = image * (1 - generator.uniform(0.04, 0.17) * (x**2 + y**2)).astype(np.float32)[:, :, None]
    # Automatic exposure goes most of the way to a middle grey.
    exposure = (0.60 / max(float(image.mean()), 0.05)) ** 0.65 * np.exp(generator.normal(0.04, 0.10))
    image = image * np.float32(exposure)
    image = image * (1 + generator.normal(0, 0.02, 3)).astype(np.float32)
    grey = image.mean(axis=2, keepdims=True)
    image = grey + (image - grey) * np.float32(generator.uniform(0.85, 1.3))
    # Highlights are rolled off, then an S-curve adds contrast.
    image = np.clip(image, 0, None)
    image = image * (1 + image * np.float32(0.10)) / (1 + image * np.float32(0.18))
    image = np.clip(image, 0, 1)
    strength = np.float32(generator.uniform(0.1, 0.6))
    image = image + (image * image * (3 - 2 * image) - image) * strength
    grain = generator.standard_normal((height, width, 3), np.float32)
    image = image + grain * np.float32(generator.uniform(0.003, 0.015)) * (np.float32(0.5) + image)
    return np.clip(image * 255, 0, 255).round().astype(np.uint8)
