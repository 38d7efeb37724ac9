"""The demo's export in CVAT's LabelMe format."""

import io
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from segtune.demo.labelme_export import write_labelme_zip
from segtune.demo.scenes import Scene, SceneObject
from segtune.errors import UserError

SCENE = Scene(
    np.full((4, 6, 3), (200, 30, 90), np.uint8),
    [
        SceneObject("person", np.array([[1.0, 1.0], [2.5, 1.0], [2.25, 3.333]])),
        SceneObject("sky & <cloud>", np.array([[0.0, 0.0], [6.0, 0.0], [6.0, 4.0], [0.0, 4.0]])),
    ],
)


def test_zip_is_flat_and_reads_back(tmp_path: Path) -> None:
    write_labelme_zip(tmp_path / "export.zip", [("a", SCENE), ("b", SCENE)])
    with zipfile.ZipFile(tmp_path / "export.zip") as archive:
        assert archive.namelist() == ["default/a.jpg", "default/a.xml", "default/b.jpg", "default/b.xml"]
        picture = np.asarray(Image.open(io.BytesIO(archive.read("default/b.jpg"))))
        root = ElementTree.fromstring(archive.read("default/b.xml"))
    assert picture.shape == (4, 6, 3)
    assert np.abs(picture.astype(int) - SCENE.image).max() < 8
    assert [item.findtext("name") for item in root.iter("object")] == ["person", "sky & <cloud>"]
    assert [len(item.findall("polygon/pt")) for item in root.iter("object")] == [3, 4]
    assert root.findtext("filename") == "b.jpg"


def test_same_scenes_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("first.zip", "second.zip"):
        write_labelme_zip(tmp_path / name, [("a", SCENE)])
    assert (tmp_path / "first.zip").read_bytes() == (tmp_path / "second.zip").read_bytes()


def test_unwritable_place_is_told(tmp_path: Path) -> None:
    (tmp_path / "export.zip").mkdir()
    with pytest.raises(UserError, match="could not be written"):
        write_labelme_zip(tmp_path / "export.zip", [("a", SCENE)])
