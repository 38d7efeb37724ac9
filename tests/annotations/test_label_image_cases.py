"""Label images as other tools write them: what is a mask, which picture it is of, what its values mean."""

import numpy as np
import pytest
from PIL import Image

from segtune.annotations.convert import convert
from segtune.annotations.export import open_export
from segtune.annotations.formats import detect_format, read_annotations
from segtune.annotations.read_label_images import voc_color
from segtune.config import ConvertConfig
from segtune.errors import UserError

VALUES = np.zeros((20, 30), np.uint8)
VALUES[2:8, 2:12] = 1
VALUES[10:15, 20:28] = 2
COLORS = np.array([[0, 0, 0], [200, 0, 0], [0, 0, 200]], np.uint8)
LABELMAP = "# label:color_rgb:parts:actions\nbackground:0,0,0::\ncar:200,0,0::\nsky:0,0,200::\n"
VOC = [voc_color(index) for index in range(256)]


def write(folder, files):
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            Image.new("RGB", (30, 20), (len(name), 60, 60)).save(path)
        elif isinstance(content, str | bytes):
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        else:
            (Image.fromarray(content) if isinstance(content, np.ndarray) else content).save(path)
    return folder


def palette(values, colors):
    picture = Image.fromarray(values)
    picture.putpalette(np.array(colors, np.uint8).ravel().tolist())
    return picture


def pairs(pictures, masks, mask=VALUES):
    return {**{pictures.format(stem): None for stem in "abc"}, **{masks.format(stem): mask for stem in "abc"}}


NAMES = {"classes.txt": "floor\ncar\nsky\n"}
LAYOUTS = {
    "words in folder names": {**pairs("train_images/{}.jpg", "train_masks/{}.png"), **NAMES},
    "subset above, word in name": {**pairs("train/rgb_images/{}.jpg", "train/mask_images/{}.png"), **NAMES},
    "mask word in the top folder": {**pairs("labels/images/{}.jpg", "labels/masks/{}.png"), **NAMES},
    "stereo": {**pairs("images/{}_L.jpg", "masks/{}_L.png"), **NAMES},
    "masks below the pictures": {**pairs("data/{}.jpg", "data/masks/{}.png"), **NAMES},
    "prefix": {**pairs("images/image_{}.jpg", "masks/mask_{}.png"), **NAMES},
    "JPEG pictures' words": {**pairs("JPEGImages/{}.jpg", "Annotations/{}.png"), **NAMES},
    "fast.ai": {**pairs("images/{}.png", "labels/{}_P.png"), "codes.txt": "floor\ncar\nsky\n"},
    "grey as colours": {**pairs("images/{}.jpg", "masks/{}.png", np.stack([VALUES] * 3, axis=2)), **NAMES},
    "RGBA": {
        **pairs("images/{}.jpg", "masks/{}.png", np.dstack([COLORS[VALUES], VALUES * 0 + 255])),
        "class_dict.csv": "name, r, g, b\nfloor, 0, 0, 0\ncar, 200, 0, 0\nsky, 0, 0, 200\n",
    },
    "VOC palette, values of a table without colours": {
        **pairs("images/{}.jpg", "masks/{}.png", palette(VALUES, VOC)),
        "classes.yaml": "classes: [floor, car, sky, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u]",
    },
    "labelme2voc": {
        **pairs("JPEGImages/{}.jpg", "SegmentationClassPNG/{}.png", palette(VALUES, VOC)),
        **pairs("JPEGImages/{}.jpg", "SegmentationClassVisualization/{}.jpg", None),
        "class_names.txt": "_background_\ncar\nsky\n",
    },
    "numbers in a text": {**pairs("images/{}.jpg", "masks/{}.png"), "labels.txt": "0: floor\n1: car\n2: sky\n"},
    "names only in label_colors.txt": {
        **pairs("train/{}.png", "trainannot/{}.png"),
        "label_colors.txt": "floor\ncar\nsky\n",
    },
    "class names in data.yaml": {
        **pairs("images/{}.jpg", "masks/{}.png"),
        "data.yaml": "names:\n  0: floor\n  1: car\n  2: sky\n",
    },
}  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_of_other_tools(tmp_path, layout):
    report = convert(ConvertConfig(write(tmp_path / "e", LAYOUTS[layout]), tmp_path / "d"))
    labels = [np.array(Image.open(path)) for path in (tmp_path / "d").glob("*/Labels/*.png")]
    assert list(report.classes.names)[1:3] == ["car", "sky"]
    assert len(labels) == 3
    assert all((array == VALUES).all() for array in labels)


def test_the_same_names_in_two_subsets_are_two_pictures(tmp_path):
    files = {
        **pairs("images/train/{}.jpg", "masks/train/{}.png"),
        **pairs("images/val/{}.jpg", "masks/val/{}.png"),
        **NAMES,
    }
    _, annotations = read_annotations(open_export(write(tmp_path, files)))
    assert {(image.picture, image.file, image.subset) for image in annotations.images()} == {
        (f"images/{subset}/{stem}.jpg", f"masks/{subset}/{stem}.png", subset)
        for subset in ("train", "val") for stem in "abc"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("picture", "mask"),
    [
        ("a.jpg", "masks/a.png"),
        ("a.jpg", "SegmentationClass/a.png"),
        ("train/a.jpg", "trainannot/a.png"),
        ("training/ADE_train_a.jpg", "annotations/training/ADE_train_a.png"),
        ("a_leftImg8bit.png", "gtFine/train/a_gtFine_labelIds.png"),
        ("a.png", "gtFine/train/a_gtFine_labelIds.png"),
    ],
)
def test_pictures_may_lie_in_another_folder(tmp_path, picture, mask):
    table = {"label_colors.txt": "".join(f"{i} 0 0 c{i}\n" for i in range(12))} if "ADE" not in mask else {}
    files = {mask.replace("a.png", f"{stem}.png").replace("a_gt", f"{stem}_gt"): VALUES + 7 for stem in "xy"}
    pictures = {picture.replace("a.", f"{stem}.").replace("a_left", f"{stem}_left"): None for stem in "xy"}
    write(tmp_path / "pictures", pictures)
    source = write(tmp_path / "e", {**files, **table})
    report = convert(ConvertConfig(source, tmp_path / "d", images=tmp_path / "pictures", val_fraction=0.5))
    assert sum(report.num_pictures.values()) == 2


@pytest.mark.parametrize(
    ("picture", "mask"),
    [
        ("images/{}.jpg", "masks/{}.png"),
        ("images/training/ADE_{}.jpg", "annotations/training/ADE_{}.png"),
        ("train/{}.jpg", "trainannot/{}.png"),
    ],
)
def test_a_mask_without_picture_is_told(tmp_path, picture, mask):
    files = {**pairs(picture, mask, VALUES + 1), "classes.txt": "x\nfloor\ncar\nsky\n"}
    del files[picture.format("b")]
    with pytest.raises(UserError, match=r"b(\.png|\.jpg)?.*picture is not there"):
        convert(ConvertConfig(write(tmp_path / "e", files), tmp_path / "d"))


def test_two_classes_of_a_table_read_binary_masks(tmp_path):
    mask = np.where(VALUES == 1, 255, 0).astype(np.uint8)
    source = write(tmp_path / "e", {**pairs("images/{}.jpg", "masks/{}.png", mask), "classes.txt": "floor\ncar\n"})
    report = convert(ConvertConfig(source, tmp_path / "d"))
    assert report.pixels[:3].tolist() == [3 * 540, 3 * 60, 0]


def test_border_of_voc_is_no_object(tmp_path):
    mask = palette(np.where(VALUES == 1, 255, 0).astype(np.uint8), VOC)
    source = write(tmp_path, pairs("JPEGImages/{}.jpg", "SegmentationClass/{}.png", mask))
    _, annotations = read_annotations(open_export(source))
    assert {shape.label for image in annotations.images() for shape in image.shapes} == {"background", None}


def test_quoted_names_of_lists(tmp_path):
    files = {"JPEGImages/a b.jpg": None, "SegmentationClass/a b.png": VALUES, "labelmap.txt": LABELMAP,
             "ImageSets/Segmentation/val.txt": '"a b"\n'}  # fmt: skip
    _, annotations = read_annotations(open_export(write(tmp_path, files)))
    assert [(image.name, image.subset) for image in annotations.images()] == [("a b", "val")]


@pytest.mark.parametrize("name", ["segmentation-mask", "camvid", "cityscapes", "ade20k", "mask-folder"])
def test_forced_on_something_else(tmp_path, name):
    source = write(tmp_path / "e", {"a.jpg": None, "readme.txt": "x"})
    with pytest.raises(UserError):
        convert(ConvertConfig(source, tmp_path / "d", format=name))


TABLES = "_classes.csv class_dict.csv classes.txt label_colors.txt id2label.json classes.yaml labelmap.txt"
HOSTILE = [
    b"\x00,\x00\n0,\x00", b'0,"' + b"x" * 200_000, b"[" * 100_000, b"9" * 5000 + b" 0 0 x", b"\xff\xfe", b"null",
    b"[1, 2", b"0 0 nan x", b'{"1e999": []}',
]  # fmt: skip


@pytest.mark.parametrize("name", TABLES.split())
@pytest.mark.parametrize("content", HOSTILE)
def test_hostile_tables_raise_nothing_else(tmp_path, name, content):
    source = write(tmp_path, {**pairs("images/{}.jpg", "masks/{}.png"), name: content})
    try:
        _, annotations = read_annotations(open_export(source), "mask-folder")
        list(annotations.images())
    except UserError:
        pass


SAID = [
    ("classes.yaml", "classes: [{name: a, color: [0, 0, 0]}, {name: b, color: [200, 0, 0]}]"),
    ("labelmap.txt", "c:0,0,0::\nd:200,0,0::\n"),
    ("label_colors.txt", "0 0 0 e\n200 0 0 f\n"),
    ("_classes.csv", "Pixel Value, Class\n0, g\n1, h\n"),
    ("id2label.json", '{"0": "i", "1": "j"}'),
    ("classes.txt", "k\nl\n"),
]
"""In the order of docs/annotations.md."""


@pytest.mark.parametrize("place", range(len(SAID) - 1))
def test_the_first_of_several_tables_counts(tmp_path, place):
    values = VALUES % 2
    files = {**pairs("images/{}.jpg", "masks/{}.png", values), **dict(SAID[place:])}
    _, annotations = read_annotations(open_export(write(tmp_path / "all", files)), "mask-folder")
    alone = {**pairs("images/{}.jpg", "masks/{}.png", values), **dict(SAID[place : place + 1])}
    _, expected = read_annotations(open_export(write(tmp_path / "alone", alone)), "mask-folder")
    assert [entry.name for entry in annotations.classes] == [entry.name for entry in expected.classes]


def test_class_files_further_down_do_not_matter(tmp_path):
    files = {**pairs("images/{}.jpg", "masks/{}.png", VALUES % 2), "classes.txt": "a\nb\n", "old/classes.txt": "b\na\n"}
    source = write(tmp_path, files)
    (source / "old" / "labels.txt").write_bytes(b"x" * 2**21)
    _, annotations = read_annotations(open_export(source), "mask-folder")
    assert [entry.name for entry in annotations.classes] == ["a", "b"]


def test_broken_masks_of_camvid_without_table(tmp_path):
    files = {**pairs("train/{}.png", "trainannot/{}.png"), "trainannot/a.png": b"x"}
    _, annotations = read_annotations(open_export(write(tmp_path, files)))
    assert [bool(image.problems) for image in annotations.images()] == [True, False, False]


def test_ade20k_counts_objects_by_rank(tmp_path):
    mask = np.zeros((20, 30, 3), np.uint8)
    mask[:10] = (0, 5, 120)
    mask[10:15] = (10, 5, 250)
    files = {"training/x_seg.png": mask, "training/x.jpg": None,
             "training/x_atr.txt": '001 # 0 # 0 # sky # sky # ""\n002 # 0 # 0 # road, route # road # ""\n'}  # fmt: skip
    _, annotations = read_annotations(open_export(write(tmp_path, files)))
    (image,) = annotations.images()
    assert not image.problems
    assert {shape.label for shape in image.shapes} == {None, "sky", "road"}


def test_the_folders_of_ade20k_alone_say_nothing_of_class_0(tmp_path):
    """As mmsegmentation's guides lay out any data."""
    files = pairs("images/training/{}.jpg", "annotations/training/{}.png")
    report = convert(ConvertConfig(write(tmp_path / "e", files), tmp_path / "d"))
    assert report.classes.names == ("class_0", "class_1", "class_2")


def test_masks_that_jpeg_changed_are_refused(tmp_path):
    smooth = pairs("images/{}.jpg", "masks/{}.jpg", np.where(VALUES > 0, 255, 0).astype(np.uint8))
    with pytest.raises(UserError, match=r"masks/\w\.jpg is a JPEG, which changes values"):
        convert(ConvertConfig(write(tmp_path / "e", smooth), tmp_path / "d"))


def test_ade20k_classes_are_in_order(tmp_path):
    files = {**pairs("images/training/ADE_{}.jpg", "annotations/training/ADE_{}.png", VALUES * 5)}
    source = open_export(write(tmp_path, files))
    assert detect_format(source.source) == "ade20k"
    assert [entry.name for entry in read_annotations(source)[1].classes] == ["class_5", "class_10"]


def test_grey_photographs_are_no_masks(tmp_path):
    photo = np.arange(600, dtype=np.uint16).reshape(20, 30).astype(np.uint8)
    source = write(tmp_path / "e", pairs("images/{}.jpg", "masks/{}.png", photo))
    with pytest.raises(UserError, match="photograph"):
        convert(ConvertConfig(source, tmp_path / "d"))


def test_cityscapes_colours(tmp_path):
    colors = np.array([[128, 64, 128], [0, 0, 142], [111, 74, 0]], np.uint8)
    mask = "gtFine/train/x/{}_gtFine_color.png"
    files = pairs("leftImg8bit/train/x/{}_leftImg8bit.png", mask, colors[VALUES])
    _, annotations = read_annotations(open_export(write(tmp_path, files)))
    images = list(annotations.images())
    assert not images[0].problems
    assert {shape.label for shape in images[0].shapes} == {"road", "car", None}


def test_original_camvid_without_table(tmp_path):
    colors = np.array([[0, 0, 0], [128, 64, 128], [128, 128, 128]], np.uint8)
    source = open_export(
        write(tmp_path, pairs("701_StillsRaw_full/{}.png", "LabeledApproved_full/{}_L.png", colors[VALUES]))
    )
    assert detect_format(source.source) == "camvid"
    labels = {shape.label for image in read_annotations(source)[1].images() for shape in image.shapes}
    assert labels == {None, "Road", "Sky"}


def test_every_mode_gives_the_same(tmp_path):
    binary = VALUES == 1
    files = {}
    grey = Image.fromarray(binary.astype(np.uint8))
    for stem, mask in {"bit": Image.fromarray(binary), "la": Image.merge("LA", [grey] * 2),
                       "deep": Image.fromarray(binary.astype(np.int32))}.items():  # fmt: skip
        files |= {f"images/{stem}.jpg": None, f"masks/{stem}.{'tif' if stem == 'deep' else 'png'}": mask}
    _, annotations = read_annotations(open_export(write(tmp_path, files)))
    for image in annotations.images():
        assert not image.problems
        assert {shape.label: int((shape.geometry.values == shape.geometry.value).sum()) for shape in image.shapes} == {
            "class_0": 540, "class_1": 60,
        }  # fmt: skip
