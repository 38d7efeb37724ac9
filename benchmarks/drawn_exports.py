"""Draws large annotation exports for the other benchmarks: CVAT for images 1.1."""

import os
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

HEIGHT, WIDTH = 1080, 1920
NUM_CLASSES = 10
NUM_OBJECTS, NUM_POINTS = 20, 40


def outline(generator: np.random.Generator) -> np.ndarray:
    """A star-shaped polygon somewhere in the picture, float64 (40, 2), two decimals as CVAT writes them."""
    angles = np.sort(generator.uniform(0, 2 * np.pi, NUM_POINTS))
    radii = generator.uniform(0.6, 1, NUM_POINTS) * generator.uniform(30, 200)
    center = generator.uniform([0, 0], [WIDTH, HEIGHT])
    points = center + np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=1)
    return np.clip(points, 0, [WIDTH, HEIGHT]).round(2)


def polygon_element(generator: np.random.Generator) -> str:
    points = ";".join(f"{x:.2f},{y:.2f}" for x, y in outline(generator))
    return f'<polygon label="class {generator.integers(NUM_CLASSES)}" points="{points}" z_order="0"/>'


def mask_element(generator: np.random.Generator) -> str:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    cv2.fillPoly(mask, [outline(generator).astype(np.int32)], (1,))
    rows, columns = np.nonzero(mask)
    top, left, bottom, right = rows.min(), columns.min(), rows.max() + 1, columns.max() + 1
    pixels = mask[top:bottom, left:right].ravel()
    lengths = np.diff([0, *np.flatnonzero(np.diff(pixels, prepend=0)), pixels.size])
    rle = ", ".join(map(str, lengths))
    return (
        f'<mask label="class {generator.integers(NUM_CLASSES)}" rle="{rle}" left="{left}" top="{top}"'
        f' width="{right - left}" height="{bottom - top}" z_order="0"/>'
    )


def write_cvat_export(folder: Path, num_pictures: int, kind: str, suffix: str = "jpg") -> Path:
    """Write annotations.xml and pictures, which are one file under many names, as their content does not matter here.

    Args:
        folder: The folder to make.
        num_pictures: Pictures of 1920 x 1080.
        kind: polygon, or mask.
        suffix: Of the pictures: jpg, png.
    """
    element = {"polygon": polygon_element, "mask": mask_element}[kind]
    generator = np.random.default_rng(0)
    # Drawing masks is slow: pictures share a stock of shapes.
    stock = [element(generator) for _ in range(min(num_pictures * NUM_OBJECTS, 4000))]
    first = folder / "images" / f"000000.{suffix}"
    write_picture(first, generator)
    labels = "".join(f"<label><name>class {index}</name><type>any</type></label>" for index in range(NUM_CLASSES))
    with (folder / "annotations.xml").open("w") as file:
        file.write(f"<annotations><version>1.1</version><meta><task><labels>{labels}</labels></task></meta>\n")
        for index in range(num_pictures):
            name = f"{index:06}.{suffix}"
            if index:
                os.link(first, folder / "images" / name)
            shapes = "\n".join(stock[place] for place in generator.integers(0, len(stock), NUM_OBJECTS))
            file.write(f'<image id="{index}" name="{name}" width="{WIDTH}" height="{HEIGHT}">\n{shapes}\n</image>\n')
        file.write("</annotations>\n")
    return folder


def write_picture(path: Path, generator: np.random.Generator) -> None:
    """A picture with as much detail as a photograph: about 400 kB as JPEG, 5 MB as PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = generator.integers(0, 256, (HEIGHT // 16, WIDTH // 16, 3), np.uint8)
    picture = cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC).astype(np.int16)
    picture += generator.normal(0, 6, picture.shape).astype(np.int16)
    Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)).save(path, quality=85)
