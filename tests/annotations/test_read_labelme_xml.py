"""LabelMe 3.0 XML: what is read, what is skipped, what is refused."""

from collections import Counter

import numpy as np
import pytest
from PIL import Image

from segtune.annotations.convert import convert
from segtune.annotations.export import open_export
from segtune.annotations.formats import read_annotations
from segtune.annotations.painter import rasterize
from segtune.config import ConvertConfig
from segtune.errors import UserError

POINTS = "<pt><x>1.5</x><y>1</y></pt><pt><x>8</x><y>1</y></pt><pt><x>8</x><y>6.25</y></pt>"
SIZE = "<imagesize><nrows>20</nrows><ncols>30</ncols></imagesize>"


def thing(inside=f"<polygon>{POINTS}</polygon>", name="person", deleted="0"):
    return f"<object><name>{name}</name><deleted>{deleted}</deleted>{inside}</object>"


def export(folder, *objects, size=SIZE, filename="a.jpg", xml="default/a.xml", picture="default/a.jpg", head=""):
    for name in (xml, picture):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (30, 20)).save(folder / picture)
    content = f"{head}<annotation><filename>{filename}</filename>{size}{''.join(objects)}</annotation>"
    (folder / xml).write_text(content, encoding="utf-8")
    return folder


def images(folder):
    name, annotations = read_annotations(open_export(folder))
    assert name == "labelme-xml"
    return list(annotations.images())


def test_polygons_are_read_in_document_order(tmp_path):
    (image,) = images(export(tmp_path, thing(), thing(name=" sky ")))
    assert [shape.label for shape in image.shapes] == ["person", "sky"]
    assert image.shapes[0].geometry.outlines[0].tolist() == [[1.5, 1], [8, 1], [8, 6.25]]
    assert (image.size, image.picture) == ((20, 30), "default/a.jpg")


@pytest.mark.parametrize(
    ("skipped", "reason"),
    [
        (thing(deleted="1"), "objects deleted in the tool"),
        (
            thing("<polygon><pt><x>1</x><y>1</y></pt><pt><x>2</x><y>2</y></pt></polygon>"),
            "objects of fewer than 3 points",
        ),
    ],
)
def test_what_has_no_outline_is_counted(tmp_path, skipped, reason):
    (image,) = images(export(tmp_path, thing(), skipped))
    assert len(image.shapes) == 1
    assert image.skipped == {reason: 1}


BOX = "<pt><x>9</x><y>9</y></pt><pt><x>3</x><y>9</y></pt><pt><x>3</x><y>5</y></pt><pt><x>9</x><y>5</y></pt>"


@pytest.mark.parametrize(
    ("attributes", "covered"),
    [
        ("", np.s_[5:9, 3:9]),
        ("<attributes>rotation=90.0</attributes>", np.s_[4:10, 4:8]),
        ("<attributes>color=a\\,b, rotation=180, x</attributes>", np.s_[5:9, 3:9]),
    ],
)
def test_boxes_are_turned_by_their_attribute(tmp_path, attributes, covered):
    box = thing(f"<type>bounding_box</type><polygon>{BOX}</polygon>{attributes}")
    (image,) = images(export(tmp_path, box))
    (mask,) = rasterize([image.shapes[0].geometry], (20, 30))
    expected = np.zeros((20, 30), np.bool_)
    expected[covered] = True
    found = np.zeros((20, 30), np.bool_)
    found[mask.top : mask.top + mask.pixels.shape[0], mask.left : mask.left + mask.pixels.shape[1]] = mask.pixels
    assert image.shapes[0].kind == "box"
    assert (found == expected).all()


def test_boxes_are_filled_on_request_only(tmp_path):
    box = thing(f"<type>bounding_box</type><polygon>{BOX}</polygon>", name="box")
    for name in ("a", "b"):
        source = export(tmp_path / "e", thing(), box, filename=f"{name}.jpg", xml=f"{name}.xml", picture=f"{name}.jpg")
    plain = convert(ConvertConfig(source, tmp_path / "plain"))
    assert plain.skipped["boxes (--boxes fills them)"] == 2
    assert "box" not in plain.classes.names
    assert convert(ConvertConfig(source, tmp_path / "boxes", boxes=True)).objects["box"] == 2


@pytest.mark.parametrize("folder", ["", "cam1/"])
@pytest.mark.parametrize("mode", ["RGBA", "L", "P", "LA"])
def test_masks_are_read(tmp_path, mode, folder):
    pixels = np.zeros((20, 30), np.uint8)
    pixels[3:5, 6:9] = 1 if mode == "P" else 200
    mask = Image.fromarray(pixels)
    if mode == "P":
        mask.putpalette([0, 0, 0, 255, 0, 0] + [0] * 762)
    if mode == "RGBA":
        mask = Image.merge("RGBA", [Image.fromarray(pixels * 0)] * 3 + [mask])
    if mode == "LA":
        mask.putalpha(255)
    path = tmp_path / "default" / "Masks" / folder / "a_mask_0.png"
    path.parent.mkdir(parents=True)
    mask.save(path)
    source = export(tmp_path, thing(f"<segm><mask>{folder}a_mask_0.png</mask></segm>"))
    geometry = images(source)[0].shapes[0].geometry
    (mask,) = rasterize([geometry], (20, 30))
    assert np.add(np.argwhere(mask.pixels), (mask.top, mask.left)).tolist() == [
        [row, column] for row in (3, 4) for column in (6, 7, 8)
    ]


def test_picture_is_found_in_a_folder_beside_and_subset_is_kept(tmp_path):
    export(tmp_path, thing(), xml="train/Annotations_xml/a.xml", picture="train/Images/a.jpg")
    source = export(tmp_path, thing(), xml="val/Annotations/a.xml", picture="val/Images/a.jpg")
    assert [(image.picture, image.subset) for image in images(source)] == [
        ("train/Images/a.jpg", "train"),
        ("val/Images/a.jpg", "val"),
    ]


@pytest.mark.parametrize("filename", ["", "a.png", "cam1/a.jpg", "..\\pictures\\a.jpg"])
def test_stale_file_names_are_mended_by_the_stem(tmp_path, filename):
    assert images(export(tmp_path, thing(), filename=filename))[0].picture == "default/a.jpg"


def test_image_size_may_be_missing(tmp_path):
    assert images(export(tmp_path, thing(), size=""))[0].size is None


def test_byte_order_mark_and_line_ends_are_accepted(tmp_path):
    head = '\ufeff<?xml version="1.0" encoding="utf-8"?>\r\n'
    assert images(export(tmp_path, thing(name="Straße"), head=head))[0].shapes[0].label == "Straße"


BOMB = '<!DOCTYPE a [<!ENTITY b "bbbb">]>'


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        ({"head": BOMB}, "declares entities"),
        ({"size": "<imagesize><nrows>21</nrows><ncols>30</ncols></imagesize>"}, "30 x 21 .* at 30 x 20"),
        ({"size": "<imagesize><nrows>30</nrows><ncols>20</ncols></imagesize>"}, "EXIF orientation"),
        ({"size": "<imagesize><nrows>x</nrows><ncols>30</ncols></imagesize>"}, "number was expected"),
        ({"picture": "default/other.jpg"}, r"default/a\.xml: a\.jpg: its picture is not there"),
        ({"picture": "Masks/a.jpg"}, r"default/a\.xml: a\.jpg: its picture is not there"),
    ],
)
def test_broken_files_are_told(tmp_path, spoil, message):
    with pytest.raises(UserError, match=message):
        convert(ConvertConfig(export(tmp_path / "e", thing(), **spoil), tmp_path / "d"))


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (
            thing(POINTS.replace("1.5", "nan").join(["<polygon>", "</polygon>"])),
            r"object 1 \(person\): the point \(nan, 1\)",
        ),
        (thing(POINTS.replace("1.5", "1e12").join(["<polygon>", "</polygon>"])), "no position in a picture"),
        (thing(POINTS.replace("1.5", "left").join(["<polygon>", "</polygon>"])), "not all numbers"),
        (thing(POINTS.replace("<x>1.5</x>", "").join(["<polygon>", "</polygon>"])), "not all numbers"),
        (thing(name=""), r"object 1 \(\): the class is \'\', expected a name"),
        (thing("<segm><mask>gone.png</mask></segm>"), r"its mask gone\.png is not in the export"),
        (thing("<bndbox><xmin>1</xmin></bndbox>"), "PASCAL VOC detection"),
        ("<object>", "not readable XML"),
    ],
)
def test_broken_objects_are_told(tmp_path, broken, message):
    with pytest.raises(UserError, match=message):
        convert(ConvertConfig(export(tmp_path / "e", broken), tmp_path / "d"))


def test_all_problems_are_told_together(tmp_path):
    export(tmp_path / "e", thing(name=""), thing(name=""), xml="default/b.xml")
    with pytest.raises(UserError) as error:
        convert(ConvertConfig(export(tmp_path / "e", "<object>"), tmp_path / "d"))
    assert len(error.value.problems) == 3


def test_real_web_labelme_file_is_read(shared_data):
    folder = shared_data / "annotation-samples/labelme-xml-3.0/cvat-ai+datumaro/tests/assets/labelme_dataset"
    (image,) = images(folder)
    assert Counter(shape.kind for shape in image.shapes) == {"polygon": 4, "mask": 2, "box": 1}
    assert not image.problems
