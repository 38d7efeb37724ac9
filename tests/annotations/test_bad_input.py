"""What real and hostile exports do wrong: each is either refused in words, or read right."""

import json
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segtune.annotations.convert import convert
from segtune.config import ConvertConfig
from segtune.errors import UserError

SQUARE = "2,2;12,2;12,8;2,8"


def picture(path: Path, size=(30, 20), **options) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (len(path.name), 50, 90)).save(path, **options)


def polygon(points=SQUARE, label="car"):
    return f'<polygon label="{label}" points="{points}"/>'


def image(name, *shapes, width=30, height=20):
    return f'<image name="{name}" width="{width}" height="{height}">{"".join(shapes)}</image>'


def cvat(folder, *images, head="", names=("a.jpg", "b.jpg"), **options):
    for name in names:
        picture(folder / "images" / name, **options)
    text = f"{head}<annotations>{''.join(images)}{image('b.jpg', polygon())}</annotations>"
    (folder / "annotations.xml").write_bytes(text.encode())
    return folder


def named(*names):
    """An export with pictures of odd names."""
    return lambda folder: cvat(folder, *(image(name, polygon()) for name in names), names=(*names, "b.jpg"))


def zipped(*members, **contents):
    def build(folder):
        folder.mkdir()
        with zipfile.ZipFile(folder / "e.zip", "w", zipfile.ZIP_DEFLATED) as archive, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # zipfile warns of names that repeat
            archive.writestr("annotations.xml", f"<annotations>{image('b.jpg', polygon())}</annotations>")
            for member in members:
                archive.writestr(member, b"x")
            for name, content in contents.items():
                archive.writestr(name, content)
        return folder / "e.zip"

    return build


def linked_out(folder):
    cvat(folder, image("a.jpg", polygon()))
    (folder / "images" / "a.jpg").unlink()
    picture(folder.parent / "secret.jpg")
    (folder / "images" / "a.jpg").symlink_to(folder.parent / "secret.jpg")
    return folder


def with_file(name, content):
    """A folder with one file, and pictures."""

    def build(folder):
        picture(folder / "a.jpg")
        (folder / name).write_bytes(content)
        return folder

    return build


def stems(folder):
    return cvat(folder, image("a.jpg", polygon()), image("a.png", polygon()), names=("a.jpg", "a.png", "b.jpg"))


def coco(**changes):
    content = {
        "images": [
            {"id": index, "file_name": f"{name}.jpg", "width": 30, "height": 20} for index, name in enumerate("ab")
        ],
        "categories": [{"id": 1, "name": "car"}],
        "annotations": [
            {"id": index, "image_id": index, "category_id": 1, "segmentation": [[2, 2, 12, 2, 12, 8, 2, 8]]}
            for index in (0, 1)
        ],
        **changes,
    }

    def build(folder):
        for name in "ab":
            picture(folder / f"{name}.jpg")
        (folder / "instances.json").write_text(json.dumps(content))
        return folder

    return build


def masks(labelmap, color=(200, 0, 0)):
    """A CVAT Segmentation mask export."""

    def build(folder):
        for name in "ab":
            picture(folder / "JPEGImages" / f"{name}.jpg")
            pixels = np.zeros((20, 30, 3), np.uint8)
            pixels[2:8, 2:12] = color
            (folder / "SegmentationClass").mkdir(exist_ok=True)
            Image.fromarray(pixels).save(folder / "SegmentationClass" / f"{name}.png")
        (folder / "labelmap.txt").write_text(f"# label:color_rgb:parts:actions\n{labelmap}")
        (folder / "ImageSets" / "Segmentation").mkdir(parents=True)
        (folder / "ImageSets" / "Segmentation" / "default.txt").write_text("a\nb\n")
        return folder

    return build


TRACKS = (
    '<annotations><track id="0" label="car"><polygon frame="0" outside="0" points="0,0;9,0;9,9"/></track></annotations>'
)

REFUSED = {
    "two files of one name in a zip": (zipped("annotations.xml"), "2 files of this name"),
    "link out of a folder": (linked_out, "link to outside"),
    "an outline without end": (
        lambda f: _large(f, "0,0;2000,1;" * 1000 + "9,9"),
        r"a: object 1 \(car\): its outline crosses the picture without end",
    ),
    "ellipses without end": (
        lambda f: cvat(f, image("a.jpg", '<ellipse label="car" cx="0" cy="0" rx="999999" ry="999999"/>' * 500)),
        "outlines of its picture have more than 4,194,304 points",
    ),
    "stems that collide": (stems, r"images/a\.jpg and images/a\.png"),
    "XML cut short": (with_file("x.xml", b"<annotations><image name='a.jpg'><poly"), "not readable XML"),
    "empty XML": (with_file("x.xml", b""), r"no annotation export .*\n.*x\.xml is not readable XML: no element found"),
    "XML cut before its root": (with_file("x.xml", b"<?xml version='1.0'?>\n<anno"), r"x\.xml .*: line 2, column 0"),
    "empty JSON": (with_file("x.json", b""), r"no annotation export .*\n.*x\.json .* not readable JSON: it is empty"),
    "JSON cut short": (
        with_file("x.json", b'{"images": [{"id": 1}], "annotations": [{"id": 1, '),
        r"x\.json in .* is not readable JSON: .*line 1 column 5",
    ),
    "JSON nested without end": (with_file("x.json", b"[" * 200_000), r"x\.json in .* is not readable JSON"),
    "half a character in a label": (
        coco(categories=[{"id": 1, "name": "car \udcff"}]),
        r"instances\.json in .* holds half a character.*car \\udcff",
    ),
    "zip cut short": (with_file("e.zip", b"PK\x03\x04broken"), "no annotation export"),
    "empty folder": (with_file("readme.txt", b""), "no annotation export"),
    "empty picture": (lambda f: cvat(f, image("a.jpg", polygon())) and _emptied(f), "not a picture"),
    "tracks without frames": (with_file("annotations.xml", TRACKS.encode()), "frame_000000: its picture is not there"),
    "boxes only": (
        lambda f: _only(f, '<box label="car" xtl="1" ytl="1" xbr="5" ybr="5"/>'),
        "no outline or mask.*\n.*--boxes",
    ),
    "tags only": (lambda f: _only(f, '<tag label="car"/>'), "no outline or mask"),
    "nothing annotated": (lambda f: _only(f, ""), "no outline or mask"),
    "two labels of one colour": (masks("background:0,0,0::\ncar:200,0,0::\nbus:200,0,0::\n"), "car.*bus|bus.*car"),
    "a colour in no table": (masks("background:0,0,0::\ncar:0,200,0::\n"), r"200, ?0, ?0"),
}  # fmt: skip


def _large(folder, points):
    for name in ("a.jpg", "b.jpg"):
        picture(folder / name, (2000, 20))
    text = "".join(image(name, polygon(points), width=2000) for name in ("a.jpg", "b.jpg"))
    (folder / "annotations.xml").write_text(f"<annotations>{text}</annotations>")
    return folder


def _emptied(folder):
    (folder / "images" / "a.jpg").write_bytes(b"")
    return folder


def _only(folder, shape):
    for name in ("a.jpg", "b.jpg"):
        picture(folder / name)
    text = "".join(image(name, shape) for name in ("a.jpg", "b.jpg"))
    (folder / "annotations.xml").write_text(f"<annotations>{text}</annotations>")
    return folder


@pytest.mark.parametrize("case", REFUSED)
def test_refused(tmp_path, case):
    build, message = REFUSED[case]
    with pytest.raises(UserError, match=message):
        convert(ConvertConfig(build(tmp_path / "e"), tmp_path / "d"))
    assert not (tmp_path / "d").exists()


def recoded(folder, encoding, mark=""):
    for path in (*folder.glob("*.xml"), *folder.glob("*.json")):
        path.write_bytes((mark + path.read_text(encoding="utf-8")).encode(encoding))
    return folder


ACCEPTED = {
    "brackets": named("[a] (1).jpg"),
    "blanks and commas": named("a b, c.jpg"),
    "not ASCII": named("Übung_日本.jpg"),
    "decomposed letters": named("u\u0308bung.jpg"),
    "quotes and ampersands": named("a'b.jpg"),
    "folders": named("cam 1/a.jpg"),
    "backslashes": lambda f: cvat(f, image("cam1\\a.jpg", polygon()), names=("cam1/a.jpg", "b.jpg")),
    "byte order mark": lambda f: cvat(
        f, image("a.jpg", polygon()), head="\ufeff<?xml version='1.0' encoding='utf-8'?>"
    ),
    "UTF-16": lambda f: recoded(cvat(f, image("a.jpg", polygon())), "utf-16"),
    "UTF-16 with its declaration": lambda f: recoded(
        cvat(f, image("a.jpg", polygon()), head='<?xml version="1.0" encoding="utf-16"?>'), "utf-16"
    ),
    "UTF-16 JSON": lambda f: recoded(coco()(f), "utf-16-be", "\ufeff"),
    "Windows line ends": lambda f: cvat(f, image("a.jpg", polygon()), head="<?xml version='1.0'?>\r\n"),
    "polygon off the picture": lambda f: cvat(f, image("a.jpg", polygon(), polygon("-90,-90;-80,-90;-80,-80"))),
    "polygon of 2 points": lambda f: cvat(f, image("a.jpg", polygon(), polygon("1,1;2,2"))),
    "mask that sticks out": lambda f: cvat(
        f, image("a.jpg", polygon(), '<mask label="car" rle="0, 9" left="28" top="18" width="3" height="3"/>')
    ),
    "negative z order": lambda f: cvat(f, image("a.jpg", polygon().replace("/>", ' z_order="-13"/>'))),
}


@pytest.mark.parametrize("case", ACCEPTED)
def test_accepted(tmp_path, case):
    convert(ConvertConfig(ACCEPTED[case](tmp_path / "e"), tmp_path / "d"))
    labels = [np.array(Image.open(path)) for path in (tmp_path / "d").glob("*/Labels/*.png")]
    assert len(labels) == 2
    assert all((array[2:8, 2:12] == 1).all() for array in labels)
    assert len(list((tmp_path / "d").glob("*/Images/*"))) == 2


def test_what_is_in_memory_at_once_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr("segtune.annotations.read_cvat.MAX_ELEMENTS", 1000)
    export = cvat(tmp_path / "cvat", image("a.jpg", "<a/>" * 1001))
    with pytest.raises(UserError, match="one <image> holds more than 1,000 elements"):
        convert(ConvertConfig(export, tmp_path / "d"))
    monkeypatch.setattr("segtune.annotations.read_labelme_xml.MAX_FILE_BYTES", 2**20)
    picture(tmp_path / "labelme" / "a.jpg")
    (tmp_path / "labelme" / "a.xml").write_text(f"<annotation>{' ' * 2**20}</annotation>")
    with pytest.raises(UserError, match="larger than 1 MiB, too large for one picture"):
        convert(ConvertConfig(tmp_path / "labelme", tmp_path / "d"))


def test_several_formats_in_one_folder_are_asked_about(tmp_path):
    cvat(tmp_path / "e", image("a.jpg", polygon()))
    coco()(tmp_path / "e")
    with pytest.raises(UserError, match="could be of several formats") as error:
        convert(ConvertConfig(tmp_path / "e", tmp_path / "d"))
    assert "--format" in error.value.hint
