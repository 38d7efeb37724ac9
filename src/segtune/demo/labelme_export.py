"""Scenes -> the zip that CVAT exports as "LabelMe ZIP 3.0": a flat folder of JPEG pictures and XML files."""

import io
import zipfile
from collections.abc import Iterable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt
from PIL import Image

from segtune.demo.scenes import Scene, SceneObject
from segtune.files import atomic_path

FOLDER = "default"
"""CVAT's name for the subset of tasks that have none."""
JPEG_QUALITY = 92
DATE = (1980, 1, 1, 0, 0, 0)
"""Of all files in the zip: the same scenes give the same bytes."""


def write_labelme_zip(path: Path, scenes: Iterable[tuple[str, Scene]]) -> None:
    """Write an export, atomically.

    Args:
        path: The zip to write.
        scenes: Name and scene; the picture becomes ``default/NAME.jpg``. Scenes are taken one at a time.

    Raises:
        UserError: ``path`` can't be written.
    """
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, scene in scenes:
            _add(archive, f"{FOLDER}/{name}.jpg", _jpeg(scene.image))
            _add(archive, f"{FOLDER}/{name}.xml", annotation_xml(f"{name}.jpg", scene))


def annotation_xml(filename: str, scene: Scene) -> bytes:
    """The XML of one picture, UTF-8, in CVAT's order of elements."""
    height, width = scene.image.shape[:2]
    root = ElementTree.Element("annotation")
    _child(root, "filename", filename)
    _child(root, "folder")
    source = _child(root, "source")
    _child(source, "sourceImage")
    _child(source, "sourceAnnotation", "CVAT")
    size = _child(root, "imagesize")
    _child(size, "nrows", str(height))
    _child(size, "ncols", str(width))
    for index, item in enumerate(scene.objects):
        _add_object(root, index, item)
    ElementTree.indent(root)
    # CVAT writes <folder></folder>, not <folder/>.
    text: str = ElementTree.tostring(root, encoding="unicode", short_empty_elements=False)
    return f"{text}\n".encode()


def _add_object(root: ElementTree.Element, index: int, item: SceneObject) -> None:
    """Append one polygon."""
    element = _child(root, "object")
    _child(element, "name", item.class_name)
    _child(element, "deleted", "0")
    _child(element, "verified", "0")
    _child(element, "occluded", "no")
    _child(element, "date")
    _child(element, "id", str(index))
    parts = _child(element, "parts")
    _child(parts, "hasparts")
    _child(parts, "ispartof")
    polygon = _child(element, "polygon")
    for x, y in item.outline.tolist():
        point = _child(polygon, "pt")
        _child(point, "x", f"{x:.2f}")
        _child(point, "y", f"{y:.2f}")
    _child(polygon, "username", "cvat")
    _child(element, "attributes")


def _child(parent: ElementTree.Element, tag: str, text: str = "") -> ElementTree.Element:
    """Append an element."""
    element = ElementTree.SubElement(parent, tag)
    element.text = text
    return element


def _jpeg(image: npt.NDArray[np.uint8]) -> bytes:
    """Picture, uint8 (H, W, 3) RGB, as a JPEG file."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    """Add a file with a fixed date and fixed permissions."""
    entry = zipfile.ZipInfo(name, DATE)
    entry.create_system = 3
    entry.external_attr = 0o644 << 16
    archive.writestr(entry, content, zipfile.ZIP_DEFLATED)
