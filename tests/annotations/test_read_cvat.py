"""CVAT for images 1.1 and for video 1.1."""

import re
import zipfile

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from segtune.annotations.convert import convert
from segtune.annotations.export import open_export
from segtune.annotations.formats import read_annotations
from segtune.annotations.painter import rasterize
from segtune.config import ConvertConfig
from segtune.errors import UserError

LABELS = """<labels>
  <label><name>sky</name><color>#0010ff</color><type>any</type></label>
  <label><name> car </name><color>#ff6037</color><type>polygon</type></label>
  <label><name>nose</name><type>points</type></label>
  <label><name>part</name><type>any</type><parent>body</parent></label>
</labels>"""
META = {
    "task": f"<meta><task><id>1</id>{LABELS}</task><dumped>now</dumped></meta>",
    "job": f"<meta><job><id>1</id><subset>Train</subset>{LABELS}</job></meta>",
    "project": f"<meta><project><tasks><task><id>1</id><subset>Val</subset></task></tasks>{LABELS}</project></meta>",
    "labels in meta": f"<meta>{LABELS}</meta>",
}
POLYGON = '<polygon label="car" points="2.00,2.00;12.00,2.00;12.00,8.00" z_order="0"/>'


def image(*shapes, name="a.jpg", size='width="30" height="20"', subset=""):
    return f'<image id="0" name="{name}" {subset} {size}>{"".join(shapes)}</image>'


def export(folder, *images, meta=META["task"], pictures=("a.jpg", "b.jpg"), head='<?xml version="1.0"?>\n'):
    for number, name in enumerate(pictures):
        (folder / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (30, 20), (number, 0, 0)).save(folder / "images" / name)
    text = f"{head}<annotations><version>1.1</version>{meta}{''.join(images)}</annotations>"
    (folder / "annotations.xml").write_text(text, encoding="utf-8")
    return folder


def read(folder):
    format_name, annotations = read_annotations(open_export(folder))
    return format_name, annotations, list(annotations.images())


def pixels(shape):
    (mask,) = rasterize([shape.geometry], (20, 30))
    whole = np.zeros((20, 30), np.bool_)
    whole[mask.top : mask.top + mask.pixels.shape[0], mask.left : mask.left + mask.pixels.shape[1]] = mask.pixels
    return whole


@pytest.mark.parametrize("meta", META)
def test_labels_and_their_colours_are_declared(tmp_path, meta):
    format_name, annotations, images = read(export(tmp_path, image(POLYGON), meta=META[meta]))
    assert format_name == "cvat-images"
    assert [(entry.name, entry.color) for entry in annotations.classes] == [
        ("sky", (0, 16, 255)),
        ("car", (255, 96, 55)),
    ]
    assert (images[0].name, images[0].size) == ("a.jpg", (20, 30))


def test_files_without_meta_are_read(tmp_path):
    _, annotations, images = read(export(tmp_path, image(POLYGON), meta=""))
    assert annotations.classes == []
    assert images[0].shapes[0].label == "car"


@pytest.mark.parametrize(
    ("element", "kind", "expected"),
    [
        (POLYGON, "polygon", None),
        ('<box label="car" xtl="2.0" ytl="3.0" xbr="8.0" ybr="9.0"/>', "box", np.s_[3:9, 2:8]),
        ('<box label="car" xtl="2.0" ytl="4.0" xbr="8.0" ybr="8.0" rotation="90.0"/>', "box", np.s_[3:9, 3:7]),
        ('<mask label="car" rle="0, 2, 1, 3" left="4" top="5" width="3" height="2"/>', "mask", None),
        ('<mask label="car" rle="6" left="4" top="5" width="3" height="2"/>', "mask", np.s_[0:0, 0:0]),
    ],
)
def test_shapes_cover_what_cvat_shows(tmp_path, element, kind, expected):
    shape = read(export(tmp_path, image(element)))[2][0].shapes[0]
    whole = np.zeros((20, 30), np.bool_)
    if expected is not None:
        whole[expected] = True
    elif kind == "mask":
        whole[5, 4:6] = whole[6, 4:7] = True
    else:
        runs = coco_mask.frPyObjects([[2.0, 2, 12, 2, 12, 8]], 20, 30)
        whole = coco_mask.decode(runs)[:, :, 0].astype(np.bool_)
    assert shape.kind == kind
    assert (pixels(shape) == whole).all()


@pytest.mark.parametrize("rotation", [0, 30, 90])
def test_ellipses_cover_the_pixels_whose_centre_is_inside(tmp_path, rotation):
    element = f'<ellipse label="car" cx="14.0" cy="9.5" rx="8.0" ry="4.0" rotation="{rotation}"/>'
    shape = read(export(tmp_path, image(element)))[2][0].shapes[0]
    rows, columns = np.mgrid[:20, :30] + 0.5
    angle = np.radians(rotation)
    x, y = columns - 14, rows - 9.5
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    inside = (along / 8) ** 2 + (across / 4) ** 2 < 1
    # Fifths of a pixel at the edge are pycocotools' own.
    assert np.count_nonzero(pixels(shape) != inside) <= 6


def test_z_order_and_document_order_are_kept(tmp_path):
    shapes = [POLYGON.replace('z_order="0"', f'z_order="{z}"') for z in (-13, 0, 4)]
    assert [shape.z_order for shape in read(export(tmp_path, image(*shapes)))[2][0].shapes] == [-13, 0, 4]


def test_what_has_no_area_is_counted(tmp_path):
    elements = (
        '<polyline label="car" points="1,1;2,2"/>', '<points label="nose" points="1,1"/>', '<tag label="sky"/>',
        '<cuboid label="car" xtl1="1"/>', '<skeleton label="body"><points label="part" points="1,1"/></skeleton>',
        '<polygon label="car" points="1,1;2,2"/>', "<new/>",
    )  # fmt: skip
    found = read(export(tmp_path, image(*elements)))[2][0]
    assert not found.shapes
    assert set(found.skipped) == {
        "polylines", "points", "tags", "cuboids", "skeletons", "objects of fewer than 3 points", "<new> elements",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("element", "has_objects"),
    [
        (POLYGON, True),
        ('<polyline label="car" points="1,1;2,2"/>', True),
        ('<polygon label="car" points="1,1;2,2"/>', True),
        ("<new/>", True),
        ('<tag label="sunny"/>', False),
        ("", False),
    ],
)
def test_a_picture_is_empty_where_nothing_is_drawn_on_it(tmp_path, element, has_objects):
    assert read(export(tmp_path, image(element)))[2][0].has_objects == has_objects


@pytest.mark.parametrize(
    ("meta", "attribute", "subset"),
    [
        ("task", 'subset="Train"', "train"),
        ("task", 'subset="Validation"', "val"),
        ("task", 'subset="default"', ""),
        ("job", "", "train"),
        ("project", "", ""),
    ],
)
def test_subsets_are_kept(tmp_path, meta, attribute, subset):
    assert read(export(tmp_path, image(subset=attribute), meta=META[meta]))[2][0].subset == subset


@pytest.mark.parametrize("place", ["train.xml", "Train/annotations.xml"])
def test_files_and_folders_say_the_subset_where_cvat_does_not(tmp_path, place):
    meta = META["job"].replace("Train", "default")
    path = tmp_path / place
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"<annotations>{meta}{image(POLYGON)}</annotations>")
    assert [found.subset for found in read(tmp_path)[2]] == ["train"]


@pytest.mark.parametrize(
    ("spoiled", "message"),
    [
        (image(POLYGON.replace('"2.00,', '"nan,')), r"a\.jpg: object 1 \(polygon, car\): the point \(nan, 2\)"),
        (image(POLYGON.replace('"2.00,', '"1e12,')), "no position in a picture"),
        (image(POLYGON.replace('"2.00,', '"inf,')), "no position in a picture"),
        (image(POLYGON.replace('"2.00,', '"x,')), "not all numbers"),
        (image(POLYGON.replace('"2.00,2.00', '"2.00')), "not pairs"),
        (image(POLYGON.replace("car", " ")), "expected a name"),
        (image(POLYGON.replace('label="car"', "")), "expected a name"),
        (image('<mask label="car" rle="1, 2" left="0" top="0" width="2" height="2"/>'), "add up to 3 .* 2 x 2 has 4"),
        (image('<mask label="car" rle="1, -2, 5" left="0" top="0" width="2" height="2"/>'), "from 0 up"),
        (image('<mask label="car" rle="4" left="0" top="0" width="1e9" height="2"/>'), "position"),
        (image('<mask label="car" rle="4" left="0" top="0" width="900000" height="900000"/>'), "900000 x 900000"),
        (image('<box label="car" xtl="1"/>'), "where a number was expected"),
        (image(POLYGON, size='width="31" height="20"'), "annotated at 31 x 20 pixels"),
        (image(POLYGON, size='width="20" height="30"'), "EXIF"),
        (image(POLYGON, size='width="60" height="40"'), "--scale"),
        (image(POLYGON, size='width="x" height="40"'), "number was expected"),
        (image(POLYGON, name=""), "has no name"),
        (image(POLYGON, name="../../../etc/passwd"), "its picture is not there"),
        (image(POLYGON) + image(POLYGON), r"a\.jpg is annotated 2 times"),
        ("<image>", "not readable XML"),
    ],
)
def test_broken_annotations_are_told(tmp_path, spoiled, message):
    source = export(tmp_path / "e", spoiled, image(POLYGON, name="b.jpg"))
    with pytest.raises(UserError, match=message):
        convert(ConvertConfig(source, tmp_path / "d", boxes=True))
    assert not (tmp_path / "d").exists()


def test_all_problems_are_told_together(tmp_path):
    broken = POLYGON.replace('"2.00,', '"nan,')
    source = export(tmp_path / "e", image(broken, broken), image(POLYGON, name="gone.jpg"))
    with pytest.raises(UserError) as error:
        convert(ConvertConfig(source, tmp_path / "d"))
    assert len(error.value.problems) == 3


@pytest.mark.parametrize(
    "head",
    [
        '<!DOCTYPE a [<!ENTITY b "bbbb">]>',
        '<!DOCTYPE a [<!ENTITY a "aaa"><!ENTITY b "&a;&a;&a;">]>',
        '<!DOCTYPE a SYSTEM "file:///etc/passwd">',
    ],
)
def test_entities_and_document_types_are_refused(tmp_path, head):
    with pytest.raises(UserError, match="declares entities or a document type"):
        convert(ConvertConfig(export(tmp_path / "e", image(POLYGON), head=head), tmp_path / "d"))


def test_deep_nesting_is_refused(tmp_path):
    source = export(tmp_path / "e", "<a>" * 100_000)
    with pytest.raises(UserError, match="64 deep"):
        convert(ConvertConfig(source, tmp_path / "d"))


def test_byte_order_mark_and_line_ends_are_accepted(tmp_path):
    head = '\ufeff<?xml version="1.0" encoding="utf-8"?>\r\n'
    assert read(export(tmp_path, image(POLYGON.replace("car", "Straße")), head=head))[2][0].shapes[0].label == "Straße"


NAMES = ("cam1/a b, [1].jpg", "cam2/a b, [1].jpg", "ü/é (copy).png")


def test_names_with_folders_blanks_and_brackets_find_their_pictures(tmp_path):
    source = export(tmp_path / "e", *(image(POLYGON, name=name) for name in NAMES), pictures=NAMES)
    convert(ConvertConfig(source, tmp_path / "d"))
    made = {path.name for path in (tmp_path / "d").glob("*/Images/*")}
    assert made == {"images_cam1_a b, [1].jpg", "images_cam2_a b, [1].jpg", "é (copy).png"}


@pytest.mark.parametrize("kind", ["zip", "file", "pictures elsewhere"])
def test_zips_files_and_pictures_elsewhere_give_the_same(tmp_path, kind):
    source = export(tmp_path / "e", image(POLYGON), image(POLYGON, name="b.jpg"))
    options = {}
    if kind == "zip":
        with zipfile.ZipFile(tmp_path / "e.zip", "w") as archive:
            for path in source.rglob("*.*"):
                archive.write(path, path.relative_to(source))
        source = tmp_path / "e.zip"
    if kind == "file":
        source = source / "annotations.xml"
    if kind == "pictures elsewhere":
        (source / "images").rename(tmp_path / "pictures")
        options["images"] = tmp_path / "pictures"
    assert sum(convert(ConvertConfig(source, tmp_path / "d", **options)).num_pictures.values()) == 2


def test_runs_of_any_mask_come_back(tmp_path):
    generator = np.random.default_rng(0)
    masks = [generator.random((7, 9)) < share for share in (0.0, 0.1, 0.5, 1.0)]
    elements = []
    for mask in masks:
        ends = np.flatnonzero(np.diff(mask.ravel(), prepend=False))
        lengths = np.diff([0, *ends, mask.size])
        rle = ", ".join(map(str, lengths))
        elements.append(f'<mask label="car" rle="{rle}" left="-2" top="15" width="9" height="7"/>')
    for mask, shape in zip(masks, read(export(tmp_path, image(*elements)))[2][0].shapes, strict=True):
        whole = np.zeros((20, 30), np.bool_)
        whole[15:, :7] = mask[:5, 2:]
        assert (pixels(shape) == whole).all()


SAMPLES = "annotation-samples/cvat-images-1.1/open-edge-platform+datumaro/tests/assets/cvat_dataset/for_images"


def test_real_project_export_is_read(shared_data):
    _, annotations, images = read(shared_data / SAMPLES / "export_project")
    assert {image.subset for image in images} == {"train", "val", "test"}
    assert len({image.name for image in images}) >= 2
    assert [(entry.name, entry.color) for entry in annotations.classes] == [("label1", None), ("label2", None)]


def test_real_task_export_is_read(shared_data):
    images = read(shared_data / SAMPLES / "export_task")[2]
    assert [image.name for image in images] == ["img0.jpg", "img1.jpg"]
    assert {kind for image in images for kind in image.skipped} == {"polylines", "points"}
    assert {shape.kind for image in images for shape in image.shapes} == {"box"}


# Tracks of a video.

TRACK = """<track id="0" label="car">
  <box frame="1" outside="0" xtl="2" ytl="3" xbr="8" ybr="9" z_order="1"/>
  <polygon frame="1" outside="0" points="0,0;30,0;30,20;0,20" z_order="0"/>
  <mask frame="3" outside="0" rle="0, 4" left="0" top="0" width="2" height="2" z_order="0"/>
  <mask frame="4" outside="1" rle="0, 4" left="0" top="0" width="2" height="2" z_order="0"/>
</track>"""
VIDEO = META["task"].replace("</task>", "<original_size><width>30</width><height>20</height></original_size></task>")
FRAMES = ("frame_000001.png", "frame_000003.png", "frame_000004.png")


def test_tracks_become_frames(tmp_path):
    format_name, _, images = read(export(tmp_path, TRACK, meta=VIDEO, pictures=FRAMES))
    assert format_name == "cvat-video"
    assert [(image.picture, image.size) for image in images] == [
        ("images/frame_000001.png", (20, 30)),
        ("images/frame_000003.png", (20, 30)),
    ]
    assert [shape.kind for shape in images[0].shapes] == ["polygon", "box"]


def test_frames_that_are_not_there_are_told(tmp_path):
    source = export(tmp_path / "e", TRACK, meta=VIDEO, pictures=FRAMES[:1])
    with pytest.raises(UserError, match="frame_000003: its picture is not there"):
        convert(ConvertConfig(source, tmp_path / "d"))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [('frame="3"', 'frame="x"', "number was expected"), ('rle="0, 4"', 'rle="0, 5"', "add up to 5")],
)
def test_broken_tracks_are_told(tmp_path, old, new, message):
    source = export(tmp_path / "e", TRACK.replace(old, new, 1), meta=VIDEO, pictures=FRAMES)
    with pytest.raises(UserError, match=message):
        convert(ConvertConfig(source, tmp_path / "d"))


def test_real_video_export_is_read(shared_data):
    folder = "annotation-samples/cvat-video-1.1/open-edge-platform+datumaro/tests/assets/cvat_dataset/for_video"
    images = read(shared_data / folder)[2]
    assert [(image.picture, image.size) for image in images] == [
        ("images/frame_000010.png", (20, 25)),
        ("images/frame_000013.png", (20, 25)),
        ("images/frame_000016.png", (20, 25)),  # nothing is drawn on it
    ]
    assert [dict(image.skipped) for image in images] == [{"points": 1}, {"polylines": 1}, {}]
    assert [len(image.shapes) for image in images][2:] == [0]


def track(*frames, label="car", task=""):
    boxes = "".join(f'<polygon frame="{frame}" outside="0" points="0,0;9,0;9,9"/>' for frame in frames)
    return f'<track id="0" {task} label="{label}">{boxes}</track>'


def video(size, start=0, step=1):
    numbers = f"<size>{size}</size><start_frame>{start}</start_frame><frame_filter>step={step}</frame_filter>"
    return VIDEO.replace("<id>", f"{numbers}<id>")


def frames(*numbers, name="frame_{:06d}.png"):
    return [name.format(number) for number in numbers]


@pytest.mark.parametrize(
    ("meta", "annotated", "pictures", "expected", "warning"),
    [
        (video(4), [0, 3], frames(0, 1, 2, 3), frames(0, 3), ""),
        (video(4), [0, 3], frames(1, 2, 3, 4), frames(1, 4), "first picture was taken for frame 0"),
        (video(4), [1, 2], frames(1, 2, 3, 4, name="out{}.jpg"), ["out2.jpg", "out3.jpg"], "taken for frame 0"),
        (video(4, start=1), [1, 4], frames(1, 2, 3, 4), frames(1, 4), ""),
        (video(4, start=10, step=3), [10, 19], frames(10, 13, 16, 19), frames(10, 19), ""),
        (VIDEO, [1, 2], frames(1, 2, 3), frames(1, 2), "were taken by their numbers"),
        (VIDEO, [1, 3], frames(1, 3), frames(1, 3), ""),
        (VIDEO, [1], [*frames(1, 0), "cover_1.png"], frames(1), ""),
        (VIDEO, [0, 1], [*frames(0, 1), "../annotations/frame_000000.png"], None, ""),
    ],
)
def test_frames_are_found_by_number(tmp_path, meta, annotated, pictures, expected, warning):
    if expected is None:
        pictures, expected = pictures[:2], frames(0, 1)
        (tmp_path / "old").mkdir()
        Image.new("RGB", (30, 20)).save(tmp_path / "old" / "frame_000000.png")
    images = read(export(tmp_path, track(*annotated), meta=meta, pictures=pictures))[2]
    assert [problem for image in images for problem in image.problems] == []
    assert [image.picture for image in images if image.shapes] == [f"images/{name}" for name in expected]
    assert all(warning in " ".join(image.warnings) for image in images)
    assert bool(warning) == bool(images[0].warnings)


def test_overlapping_jobs_annotate_no_frame_twice(tmp_path):
    folder = export(tmp_path, track(0, 1), meta=video(3), pictures=frames(0, 1, 2, 3))
    (folder / "annotations.xml").rename(folder / "job_1.xml")
    export(folder, track(2, 3), meta=video(3, start=1), pictures=())
    assert sorted(image.picture for image in read(folder)[2]) == [f"images/{name}" for name in frames(0, 1, 2, 3)]


@pytest.mark.parametrize(("meta", "empty"), [(video(4), [1, 2]), (video(2), [1]), (VIDEO, [])])
def test_frames_of_the_video_that_have_a_picture_are_empty_where_nothing_is_drawn(tmp_path, meta, empty):
    images = read(export(tmp_path, track(0, 3), meta=meta, pictures=frames(0, 1, 2, 3, 7)))[2]
    assert [image.picture for image in images if not image.shapes] == [f"images/{name}" for name in frames(*empty)]


@pytest.mark.parametrize(
    ("meta", "elements", "pictures", "message"),
    [
        (
            video(4),
            track(0, 3),
            frames(1, 2, 4),
            "numbered from 1 to 4, but the task's frames are numbered from 0 to 3",
        ),
        (video(4), track(0), frames(1, 2, 3, 4, 5), "numbered from 1 to 5, but"),
        (VIDEO, track(1), ["frame_1.png", "frame_01.png"], "several pictures have its number: .*frame_01.*frame_1"),
        (VIDEO, track(1), ["a/frame_000001.png", "b/frame_000001.png"], "any of the folders images/a, images/b"),
        (VIDEO, track(1, task='task_id="1"') + track(1, task='task_id="2"'), frames(1), "tracks are of 2 tasks"),
        (VIDEO, track(1) + image(POLYGON), frames(1), "<track> and 1 <image>"),
        (VIDEO, image(POLYGON) + track(1), frames(1), "<image> and 1 <track>"),
    ],
)
def test_frames_in_doubt_are_told(tmp_path, meta, elements, pictures, message):
    with pytest.raises(UserError, match=message):
        convert(ConvertConfig(export(tmp_path / "e", elements, meta=meta, pictures=pictures), tmp_path / "d"))


@pytest.mark.parametrize(
    ("start", "pictures", "is_told"),
    [
        (0, frames(0, 1, 2), False),
        (7, frames(7, 8, 9), False),  # a later job
        (0, frames(1, 2, 3), False),  # each is for the frame before its number
        (0, frames(0, 1), True),
        (0, frames(0, 1, 2, 3), True),
        (0, frames(0, 2, 10, name="img_{}.jpg"), True),
        (8, frames(8, 9, 10, name="img_{}.jpg"), True),  # CVAT sorts 10 before 8
        (0, [*frames(0, 1, name="img_{}.jpg"), "background.jpg"], True),
        (0, [*frames(0, 1), "cover_1.png"], True),
        (0, ["a/0.png", "b/0.png", "b/1.png"], True),
    ],
)
def test_frames_of_a_task_of_pictures_are_taken_where_names_show_their_order_alone(tmp_path, start, pictures, is_told):
    meta = video(3, start).replace("<size>", "<mode>annotation</mode><size>")
    images = read(export(tmp_path, track(start, start + 1), meta=meta, pictures=pictures))[2]
    assert any("its task is of pictures" in problem for image in images for problem in image.problems) == is_told
    found = [image.picture for image in images if image.shapes and not is_told]
    assert is_told or found == [f"images/{name}" for name in pictures[:2]]


def test_frames_of_another_task_are_not_taken(tmp_path):
    export(tmp_path / "a", track(0), meta=video(2), pictures=frames(0, 1))
    (tmp_path / "b").mkdir()
    export(tmp_path / "b", track(1), meta=video(2), pictures=())
    images = read(tmp_path)[2]
    assert [image.picture for image in images if image.shapes] == ["a/images/frame_000000.png", ""]
    with pytest.raises(UserError, match=r"b/annotations\.xml/frame_000001: its picture is not there"):
        convert(ConvertConfig(tmp_path, tmp_path / "d"))


@pytest.mark.parametrize("name", ["clip_2.xml", "annotations.xml"])
def test_frames_of_a_video_beside_it_are_not_taken(tmp_path, name):
    """Flat, the folder is called like the other file; above, it is below the other file."""
    is_flat = name == "clip_2.xml"
    export(tmp_path / "clip_1", track(0), meta=video(2), pictures=frames(0, 1))
    (tmp_path / "clip_1" / "images").rename(tmp_path / "clip_1" / "frames")
    if is_flat:
        (tmp_path / "clip_1" / "annotations.xml").rename(tmp_path / "clip_1.xml")
    text = f"<annotations>{video(2)}{track(1)}</annotations>"
    (tmp_path / name).write_text(text)
    images = [image for image in read(tmp_path)[2] if image.shapes]
    assert sorted(image.picture for image in images) == ["", "clip_1/frames/frame_000000.png"]
    with pytest.raises(UserError, match="frame_000001: its picture is not there"):
        convert(ConvertConfig(tmp_path, tmp_path / "d"))


def test_a_projects_tracks_have_the_size_and_subset_of_their_task(tmp_path):
    tasks = "".join(
        f"<task><id>{number}</id><subset>{subset}</subset>"
        f"<original_size><width>{width}</width><height>20</height></original_size></task>"
        for number, subset, width in ((1, "Val", 9), (2, "Train", 30))
    )
    meta = f"<meta><project><tasks>{tasks}</tasks>{LABELS}</project></meta>"
    images = read(export(tmp_path, track(0, task='task_id="2"'), meta=meta, pictures=frames(0)))[2]
    assert [(image.size, image.subset) for image in images] == [((20, 30), "train")]


def test_a_shift_by_a_frame_is_not_made_by_leaving_one_out(tmp_path):
    source = export(tmp_path / "e", track(0, 1, 2, 3), meta=video(4), pictures=frames(1, 2, 3))
    with pytest.raises(
        UserError, match=r"frame_000000: its picture is not there; .*rename them so that it has the number 0"
    ):
        convert(ConvertConfig(source, tmp_path / "d", allow_missing=True))


def test_a_shift_of_frames_is_reported(tmp_path):
    source = export(tmp_path / "e", track(0, 1, 2, 3), meta=video(4), pictures=frames(1, 2, 3, 4))
    (warning,) = [text for text in convert(ConvertConfig(source, tmp_path / "d")).warnings if "frame 0" in text]
    assert warning.startswith("annotations.xml: the pictures in images/ are numbered from 1 to 4")


def test_each_file_is_read_as_what_it_is(tmp_path):
    export(tmp_path / "video 1", track(1), meta=VIDEO, pictures=frames(1))
    export(tmp_path / "video 2", track(1, label="sky"), meta=VIDEO, pictures=frames(1))
    export(tmp_path / "pictures", image(POLYGON))
    images = read(tmp_path)[2]
    assert [(image.file, image.picture, len(image.shapes)) for image in images] == [
        ("pictures/annotations.xml", "", 1),
        ("video 1/annotations.xml", "video 1/images/frame_000001.png", 1),
        ("video 2/annotations.xml", "video 2/images/frame_000001.png", 1),
    ]


def test_frames_of_the_given_folder_count(tmp_path):
    source = export(tmp_path / "e", track(1), meta=VIDEO, pictures=["a/frame_000001.png", "b/frame_000001.png"])
    for folder in ("images/a", "images/b"):
        (image,) = read_annotations(open_export(source, source / folder))[1].images()
        assert image.picture == "frame_000001.png"


@pytest.mark.parametrize(
    ("elements", "splits", "told"),
    [
        (["Fold1", "Val", "Train"], {"train": 2, "val": 1}, r"subset 'Fold1' is not known .* are in train"),
        (["holdout"] * 3, {"train": 2, "val": 1}, "subset 'holdout' is not known .* divided"),
        (["Train", "Train", "Test"], {"train": 1, "val": 1, "test": 1}, "test, train .*test stay"),
        (["Train", "Train", "Train"], {"train": 2, "val": 1}, "only train"),
        (["default"] * 3, {"train": 2, "val": 1}, ""),
    ],
)
def test_what_becomes_of_subsets_is_told(tmp_path, elements, splits, told):
    names = ("a.jpg", "b.jpg", "c.jpg")
    pictures = [
        image(POLYGON, name=name, subset=f'subset="{subset}"') for name, subset in zip(names, elements, strict=True)
    ]
    report = convert(ConvertConfig(export(tmp_path / "e", *pictures, pictures=names), tmp_path / "d", val_fraction=0.3))
    texts = [text for text in (*report.warnings, *report.notes) if "not known" in text or "only" in text]
    assert report.num_pictures == splits
    assert len(texts) == bool(told)
    assert re.search(told, " ".join(texts))
