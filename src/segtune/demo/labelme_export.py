"""Scenes -> the zip that CVAT exports as "LabelMe ZIP 3.0": a flat folder of JPEG pictures and XML files."""

import zipfile
from collections.abc import Iterable
from pathlib import Path

from segtune.annotations.annotated_image import AnnotatedImage, Polygon, Shape
from segtune.annotations.write_labelme_xml import SUBSET, annotation_xml
from segtune.demo.scenes import Scene
from segtune.files import atomic_path
from segtune.pictures import jpeg

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
            _add(archive, f"{SUBSET}/{name}.jpg", jpeg(scene.image, JPEG_QUALITY))
            _add(archive, f"{SUBSET}/{name}.xml", annotation_xml(_annotated(f"{name}.jpg", scene), "CVAT"))


def _annotated(name: str, scene: Scene) -> AnnotatedImage:
    """A scene as the annotations of a picture."""
    height, width = scene.image.shape[:2]
    shapes = [Shape(item.class_name, Polygon((item.outline,)), "polygon") for item in scene.objects]
    return AnnotatedImage(name, shapes, (height, width))


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    """Add a file with a fixed date and fixed permissions."""
    entry = zipfile.ZipInfo(name, DATE)
    entry.create_system = 3
    entry.external_attr = 0o644 << 16
    archive.writestr(entry, content, zipfile.ZIP_DEFLATED)
