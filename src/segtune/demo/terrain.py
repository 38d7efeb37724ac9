"""Terrain: a map of fields, woods, roads, towns and water, seen straight from above."""

import cv2
import numpy as np
import numpy.typing as npt

from segtune.demo.noise import Floats, fractal_noise, sample, step

Image = npt.NDArray[np.uint8]
Rectangle = tuple[int, int, int, int]

MAP_SIZE = 512
"""Height and width of a map in texels."""

SOILS: tuple[tuple[tuple[int, int, int], ...], ...] = (
    # Farmland in spring, in summer, dry land, and late autumn: RGB of the fields.
    ((98, 128, 62), (126, 146, 80), (78, 108, 58), (168, 160, 104), (134, 108, 78), (150, 170, 92), (188, 178, 70)),
    ((182, 160, 112), (204, 186, 138), (160, 132, 92), (112, 126, 74), (140, 112, 84), (90, 112, 66), (192, 172, 116)),
    ((170, 142, 112), (152, 124, 98), (186, 162, 130), (134, 112, 90), (164, 148, 120), (120, 112, 84)),
    ((120, 110, 78), (98, 92, 66), (142, 122, 88), (88, 104, 68), (112, 88, 66), (126, 130, 96)),
)
WOODS = ((44, 66, 40), (52, 70, 44), (82, 82, 58), (66, 62, 44))
WATERS = ((54, 84, 104), (70, 104, 110), (96, 126, 130), (44, 66, 84))


def terrain_map(generator: np.random.Generator) -> Image:
    """Draw a map, uint8 (MAP_SIZE, MAP_SIZE, 3) RGB."""
    season = int(generator.integers(len(SOILS)))
    size = MAP_SIZE
    bend = [fractal_noise(generator, size, 2, 6, 0.45) * np.float32(12) for _ in range(2)]
    x, y = np.meshgrid(np.arange(size, dtype=np.float32), np.arange(size, dtype=np.float32))
    land: Image = sample(_fields(generator, np.array(SOILS[season])), x + bend[0], y + bend[1])

    cover = fractal_noise(generator, size, 4, 7, 0.57)
    woods = step(cover, *((1.0, 1.06) if season != 2 else (1.7, 1.8)))
    if generator.random() < 0.6:
        course = np.abs(fractal_noise(generator, size, 2, 5, 0.45) + float(generator.uniform(-0.6, 0.6)))
        # Trees line the river.
        woods = np.maximum(woods, (1 - step(course, 0.03, 0.05)) * np.float32(0.7))
        river = 1 - step(course, 0.012, 0.026)
    else:
        river = np.zeros_like(cover)
    land = _over(land, WOODS[season], woods)
    _add_towns(generator, land, step(-cover, 1.25, 1.9))
    if generator.random() < 0.35:
        river = np.maximum(river, step(fractal_noise(generator, size, 4, 5), 1.9, 1.93))
    land = _over(land, WATERS[season], river)

    relief = fractal_noise(generator, size, 4, 7, 0.6)
    grain = generator.standard_normal((size, size), np.float32)
    # Slopes towards the light are brighter; tree tops are rougher than fields.
    bright = relief * np.float32(0.07) + np.asarray(cv2.Sobel(relief, cv2.CV_32F, 1, 1, ksize=3)) * np.float32(0.04)
    bright += grain * (np.float32(0.02) + np.float32(0.1) * woods)
    bright *= 1 - np.float32(0.8) * river
    return np.asarray(np.clip(land * (1 + bright)[:, :, None], 0, 255), np.uint8)


def _over(land: Image, color: tuple[int, int, int], part: Floats) -> Image:
    """``color`` laid over the land where ``part`` is 1."""
    return np.asarray(cv2.blendLinear(land, np.full_like(land, color), 1 - part, part), np.uint8)


def _fields(generator: np.random.Generator, soils: npt.NDArray[np.int_]) -> Image:
    """Land cut into smaller and smaller rectangles; the first cuts are roads, the last ones hedges."""
    image = np.zeros((MAP_SIZE, MAP_SIZE, 3), np.uint8)
    smallest = float(generator.uniform(11, 20))
    roads: list[tuple[Rectangle, int]] = []
    pieces: list[tuple[Rectangle, int]] = [((0, 0, MAP_SIZE, MAP_SIZE), 0)]
    region = fractal_noise(generator, 32, 4, 2)
    while pieces:
        (left, top, right, bottom), depth = pieces.pop()
        wide, tall = right - left, bottom - top
        along_x = wide * generator.uniform(0.6, 1.5) > tall
        span = wide if along_x else tall
        if depth >= 4 and (span < 2 * smallest or (generator.random() < 0.22 and wide * tall < 4000)):
            place = region[(top + bottom) * 16 // MAP_SIZE % 32, (left + right) * 16 // MAP_SIZE % 32]
            soil = soils[int(abs(place * 1.3 + generator.normal() * 1.4) * 1.6) % len(soils)]
            color = soil * generator.uniform(0.84, 1.14) + generator.normal(0, 4, 3)
            cv2.rectangle(image, (left, top), (right, bottom), np.clip(color, 0, 255).tolist(), -1)
            if generator.random() < 0.35:
                cv2.rectangle(image, (left, top), (right, bottom), (color * 0.72).clip(0, 255).tolist(), 1)
            continue
        cut = int(span * generator.uniform(0.3, 0.7))
        if along_x:
            halves = ((left, top, left + cut, bottom), (left + cut, top, right, bottom))
            line = (left + cut, top, left + cut, bottom)
        else:
            halves = ((left, top, right, top + cut), (left, top + cut, right, bottom))
            line = (left, top + cut, right, top + cut)
        if depth < 7:
            roads.append((line, 2 if depth < 3 else 1))
        pieces += [(half, depth + 1) for half in halves]
    for (x0, y0, x1, y1), thickness in roads:
        pale = generator.uniform(150, 205)
        cv2.line(image, (x0, y0), (x1, y1), (pale, pale * 0.96, pale * 0.88), thickness, cv2.LINE_AA)
    return image


def _add_towns(generator: np.random.Generator, land: Image, density: Floats) -> None:
    """Strew roofs where ``density`` is high, changing ``land``."""
    places = generator.integers(0, MAP_SIZE - 4, (1500, 2))
    chance = generator.random(1500)
    tints = generator.integers(0, 4, 1500)
    roofs = np.array([[214, 206, 196], [168, 112, 88], [120, 116, 116], [236, 234, 230]], np.uint8)
    for (y, x), tint in zip(
        places[chance < density[places[:, 0], places[:, 1]]].tolist(), tints.tolist(), strict=False
    ):
        land[y : y + 3, x : x + 3] //= 2
        land[y : y + 2 + tint % 2, x : x + 2] = roofs[tint]
