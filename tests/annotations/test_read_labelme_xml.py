"""LabelMe 3.0 XML: what is read, what is skipped, what is refused."""

import numpy as np
import pytest
from PIL import Image

from segtune.annotations.formats import read_annotations
from segtune.annotations.source import open_source
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
    return open_source(folder)


def test_polygons_are_read_in_document_order(tmp_path):
    image = read_annotations(export(tmp_path, thing(), thing(name=" sky "))).images[0]
    assert [shape.label for shape in image.shapes] == ["person", "sky"]
    assert image.shapes[0].geometry.points.tolist() == [[1.5, 1], [8, 1], [8, 6.25]]
    assert (image.height, image.width, image.picture) == (20, 30, "default/a.jpg")


@pytest.mark.parametrize(
    ("skipped", "reason"),
    [
        (thing(deleted="1"), "objects deleted in the tool"),
        (thing(f"<type>bounding_box</type><polygon>{POINTS}</polygon>"), "bounding boxes"),
        (
            thing("<polygon><pt><x>1</x><y>1</y></pt><pt><x>2</x><y>2</y></pt></polygon>"),
            "objects of fewer than 3 points",
        ),
    ],
)
def test_what_has_no_outline_is_counted(tmp_path, skipped, reason):
    annotations = read_annotations(export(tmp_path, thing(), skipped))
    assert len(annotations.images[0].shapes) == 1
    assert annotations.skipped == {reason: 1}


@pytest.mark.parametrize("mode", ["RGBA", "L", "P"])
def test_masks_are_read(tmp_path, mode):
    pixels = np.zeros((20, 30), np.uint8)
    pixels[3:5, 6:9] = 1 if mode == "P" else 200
    mask = Image.fromarray(pixels)
    if mode == "P":
        mask.putpalette([0, 0, 0, 255, 0, 0] + [0] * 762)
    if mode == "RGBA":
        mask = Image.merge("RGBA", [Image.fromarray(pixels * 0)] * 3 + [mask])
    (tmp_path / "default" / "Masks").mkdir(parents=True)
    mask.save(tmp_path / "default" / "Masks" / "a_mask_0.png")
    source = export(tmp_path, thing("<segm><mask>a_mask_0.png</mask></segm>"))
    geometry = read_annotations(source).images[0].shapes[0].geometry
    assert geometry.pixels.shape == (2, 3)
    assert (geometry.top, geometry.left) == (3, 6)
    assert geometry.pixels.all()


def test_picture_is_found_in_a_folder_beside_and_subset_is_kept(tmp_path):
    export(tmp_path, thing(), xml="train/Annotations_xml/a.xml", picture="train/Images/a.jpg")
    source = export(tmp_path, thing(), xml="val/Annotations/a.xml", picture="val/Images/a.jpg")
    images = read_annotations(source).images
    assert [(image.picture, image.subset) for image in images] == [
        ("train/Images/a.jpg", "train"),
        ("val/Images/a.jpg", "val"),
    ]


@pytest.mark.parametrize("filename", ["", "a.png", "cam1/a.jpg", "..\\pictures\\a.jpg"])
def test_stale_file_names_are_mended_by_the_stem(tmp_path, filename):
    assert read_annotations(export(tmp_path, thing(), filename=filename)).images[0].picture == "default/a.jpg"


def test_missing_image_size_is_read_from_the_picture(tmp_path):
    image = read_annotations(export(tmp_path, thing(), size="")).images[0]
    assert (image.height, image.width) == (20, 30)


def test_byte_order_mark_and_line_ends_are_accepted(tmp_path):
    head = '\ufeff<?xml version="1.0" encoding="utf-8"?>\r\n'
    assert read_annotations(export(tmp_path, thing(name="Straße"), head=head)).images[0].shapes[0].label == "Straße"


BOMB = '<!DOCTYPE a [<!ENTITY b "bbbb">]>'


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        ({"head": BOMB}, "declares entities"),
        ({"size": "<imagesize><nrows>21</nrows><ncols>30</ncols></imagesize>"}, r"30 x 21 pixels, .* has 30 x 20"),
        ({"size": "<imagesize><nrows>30</nrows><ncols>20</ncols></imagesize>"}, "EXIF orientation"),
        ({"size": "<imagesize><nrows>x</nrows><ncols>30</ncols></imagesize>"}, "expected numbers"),
        ({"picture": "default/other.jpg"}, r"its picture a\.jpg is not in the export"),
        ({"picture": "Masks/a.jpg"}, r"its picture a\.jpg is not in the export"),
    ],
)
def test_broken_files_are_told(tmp_path, spoil, message):
    with pytest.raises(UserError, match=message):
        read_annotations(export(tmp_path, thing(), **spoil))


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (thing(POINTS.replace("1.5", "nan").join(["<polygon>", "</polygon>"])), "coordinate nan"),
        (thing(POINTS.replace("1.5", "1e12").join(["<polygon>", "</polygon>"])), "coordinate 1000000000000"),
        (thing(POINTS.replace("1.5", "left").join(["<polygon>", "</polygon>"])), "coordinate 'left'"),
        (thing(POINTS.replace("<x>1.5</x>", "").join(["<polygon>", "</polygon>"])), "coordinate ''"),
        (thing(name=""), "object 1 has no name"),
        (thing("<segm><mask>gone.png</mask></segm>"), r"mask gone\.png of object 1 is not in the export"),
        (thing("<bndbox><xmin>1</xmin></bndbox>"), "PASCAL VOC detection"),
        ("<object>", "not readable XML"),
    ],
)
def test_broken_objects_are_told(tmp_path, broken, message):
    with pytest.raises(UserError, match=message):
        read_annotations(export(tmp_path, broken))


def test_all_problems_are_told_together(tmp_path):
    export(tmp_path, thing(name=""), xml="default/b.xml")
    with pytest.raises(UserError) as error:
        read_annotations(export(tmp_path, "<object>"))
    assert len(error.value.problems) == 2


def test_real_web_labelme_file_is_read(shared_data):
    folder = shared_data / "annotation-samples/labelme-xml-3.0/cvat-ai+datumaro/tests/assets/labelme_dataset"
    annotations = read_annotations(open_source(folder))
    assert {shape.kind for shape in annotations.images[0].shapes} == {"polygon", "mask"}
    assert annotations.skipped["bounding boxes"] == 2
