"""The whole conversion."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segtune.annotations.convert import convert
from segtune.annotations.label_writer import MIN_FOR_PROCESSES
from segtune.classes import read_classes
from segtune.config import ConvertConfig
from segtune.errors import UserError

CLASSES, ORDER = "person,airplane,ground,sky", "sky,ground,airplane,person"


def write_export(folder: Path, *names: str, objects: str = "person") -> Path:
    folder.mkdir(exist_ok=True)
    for name in names:
        path = folder / name
        path.parent.mkdir(exist_ok=True, parents=True)
        Image.new("RGB", (30, 20), (len(name), 2, 3)).save(path)
        points = "".join(f"<pt><x>{x}</x><y>{y}</y></pt>" for x, y in [(2, 2), (12, 2), (12, 8), (2, 8)])
        shapes = "".join(
            f"<object><name>{label}</name><polygon>{points}</polygon></object>" for label in objects.split(",") if label
        )
        path.with_suffix(".xml").write_text(f"<annotation><filename>{path.name}</filename>{shapes}</annotation>")
    return folder


def values(folder: Path, split: str) -> dict[str, np.ndarray]:
    return {path.stem: np.array(Image.open(path)) for path in sorted((folder / split / "Labels").iterdir())}


def test_original_label_images_are_painted_to_the_pixel(shared_data, tmp_path):
    config = ConvertConfig(
        shared_data / "skydiving", tmp_path / "d", classes=CLASSES, paint_order=ORDER, fill="truncate"
    )
    report = convert(config)
    assert report.num_pictures == {"train": 10, "val": 2}
    for split in ("train", "val"):
        expected = values(shared_data / "skydiving", split)
        painted = values(tmp_path / "d", split)
        assert painted.keys() == expected.keys()
        for name, labels in painted.items():
            assert np.count_nonzero(labels != expected[name]) <= (2 if name == "000077" else 0)


def test_document_order_hides_objects_and_the_report_says_so(shared_data, tmp_path, capsys):
    report = convert(ConvertConfig(shared_data / "skydiving", tmp_path / "d"))
    assert report.hidden["person"] == report.objects["person"] == 51
    report.render()
    assert "--paint-order" in capsys.readouterr().out


def test_pictures_keep_names_and_bytes(tmp_path):
    source = write_export(tmp_path / "e", "b é,1.jpg", "sub/c.png", "z.webp")
    convert(ConvertConfig(source, tmp_path / "d"))
    made = {path.name: path for path in (tmp_path / "d").glob("*/Images/*")}
    assert made.keys() == {"b é,1.jpg", "c.png", "z.webp"}
    assert made["c.png"].samefile(source / "sub" / "c.png")


def test_background_is_class_0_and_classes_follow_as_named(tmp_path):
    source = write_export(tmp_path / "e", "a.jpg", "b.jpg", objects="person,sky")
    convert(ConvertConfig(source, tmp_path / "d", classes="sky , person"))
    assert read_classes(tmp_path / "d" / "classes.yaml").names == ("background", "sky", "person")
    assert set(np.unique(values(tmp_path / "d", "val").popitem()[1])) == {0, 1}


@pytest.mark.parametrize(
    ("background", "names", "outside", "own"),
    [("class", ("background", "a"), 0, 0), ("ignore", ("a",), 255, 255), ("auto", None, None, None)],
)
def test_what_background_means_is_asked(tmp_path, background, names, outside, own):
    source = write_export(tmp_path / "e", "a.jpg", "b.jpg", objects="a,background")
    config = ConvertConfig(source, tmp_path / "d", background=background)
    if names is None:
        with pytest.raises(UserError, match=r"'background': what do these.*\n.*--background ignore"):
            convert(config)
        return
    convert(config)
    table = read_classes(tmp_path / "d" / "classes.yaml")
    assert (table.names, table.background) == (names, background)
    labels = values(tmp_path / "d", "val").popitem()[1]
    assert (labels[19, 29], labels[4, 4]) == (outside, own)


def test_pixels_outside_all_objects_can_be_an_error(tmp_path):
    source = write_export(tmp_path / "e", "a.jpg", "b.jpg")
    with pytest.raises(UserError, match=r"a\.jpg: 540 pixels"):
        convert(ConvertConfig(source, tmp_path / "d", background="error"))
    assert not (tmp_path / "d").exists()


@pytest.mark.parametrize(
    ("options", "names", "value"),
    [
        ({"map": "car=vehicle,bus=vehicle"}, ("background", "vehicle", "person"), 1),
        ({"map": "car=background", "ignore_labels": "bus"}, ("background", "person"), 255),
        ({"ignore_labels": "car,bus"}, ("background", "person"), 255),
        ({"classes": "bus,car,person"}, ("background", "bus", "car", "person"), 1),
    ],
)
def test_classes_are_merged_and_ignored(tmp_path, options, names, value):
    source = write_export(tmp_path / "e", "a.jpg", "b.jpg", objects="person,car,bus")
    convert(ConvertConfig(source, tmp_path / "d", **options))
    assert read_classes(tmp_path / "d" / "classes.yaml").names == names
    assert values(tmp_path / "d", "val").popitem()[1][4, 4] == value


def test_empty_pictures_are_background_on_request(tmp_path):
    write_export(tmp_path / "e", "a.jpg", "b.jpg")
    source = write_export(tmp_path / "e", "c.jpg", objects="")
    report = convert(ConvertConfig(source, tmp_path / "d", empty="background"))
    assert sum(report.num_pictures.values()) == 3
    assert not (values(tmp_path / "d", "train") | values(tmp_path / "d", "val"))["c"].any()


def test_missing_pictures_are_left_out_on_request(tmp_path):
    source = write_export(tmp_path / "e", "a.jpg", "b.jpg", "c.jpg")
    (source / "c.jpg").unlink()
    with pytest.raises(UserError, match=r"c\.jpg: its picture is not there"):
        convert(ConvertConfig(source, tmp_path / "d"))
    report = convert(ConvertConfig(source, tmp_path / "d", allow_missing=True))
    assert report.skipped == {"annotated pictures that are not there": 1}


def test_annotations_are_scaled_on_request(tmp_path):
    source = write_export(tmp_path / "e", "a.jpg", "b.jpg")
    for xml in source.glob("*.xml"):
        size = "<imagesize><nrows>10</nrows><ncols>15</ncols></imagesize><object>"
        xml.write_text(xml.read_text().replace("<object>", size))
    with pytest.raises(UserError, match="--scale"):
        convert(ConvertConfig(source, tmp_path / "d"))
    convert(ConvertConfig(source, tmp_path / "d", scale=True))
    rows, columns = np.nonzero(values(tmp_path / "d", "val").popitem()[1])
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (4, 15, 4, 23)


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_exif_orientation_is_applied_as_viewers_do(tmp_path, orientation):
    source = write_export(tmp_path / "e", "a.jpg", "b.jpg")
    exif = Image.Exif()
    exif[0x0112] = orientation
    for path in source.glob("*.jpg"):
        Image.new("RGB", (20, 30) if orientation > 4 else (30, 20)).save(path, exif=exif)
    convert(ConvertConfig(source, tmp_path / "d"))
    assert values(tmp_path / "d", "val").popitem()[1].shape == (20, 30)


def test_pictures_stay_in_their_split_when_others_come(tmp_path):
    names = [f"{index}.jpg" for index in range(12)]
    convert(ConvertConfig(write_export(tmp_path / "e", *names), tmp_path / "old", val_fraction=0.4))
    write_export(tmp_path / "e", *[f"new_{index}.jpg" for index in range(12)])
    config = ConvertConfig(tmp_path / "e", tmp_path / "new", val_fraction=0.1, split_like=tmp_path / "old")
    convert(config)
    assert values(tmp_path / "old", "val").keys() <= values(tmp_path / "new", "val").keys()
    assert values(tmp_path / "old", "train").keys() <= values(tmp_path / "new", "train").keys()


def test_many_pictures_are_painted_by_several_processes(tmp_path):
    source = write_export(tmp_path / "e", *[f"{index}.png" for index in range(MIN_FOR_PROCESSES)])
    report = convert(ConvertConfig(source, tmp_path / "d"))
    painted = values(tmp_path / "d", "train") | values(tmp_path / "d", "val")
    assert len(painted) == MIN_FOR_PROCESSES
    assert report.pixels[1] == 60 * MIN_FOR_PROCESSES
    assert all(np.count_nonzero(labels) == 60 for labels in painted.values())


def test_same_names_in_other_folders_keep_apart(tmp_path):
    source = write_export(tmp_path / "e", *[f"cam{index}/a.jpg" for index in range(6)])
    convert(ConvertConfig(source, tmp_path / "d"))
    assert len(list((tmp_path / "d").glob("*/Images/*.jpg"))) == 6


def test_pictures_without_objects_are_counted_not_invented(tmp_path):
    write_export(tmp_path / "e", "a.jpg", "b.jpg")
    source = write_export(tmp_path / "e", "c.jpg", objects="")
    assert convert(ConvertConfig(source, tmp_path / "d")).skipped == {"pictures without objects": 1}
    assert len(list((tmp_path / "d").glob("*/Images/*"))) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": "car"}, r"person \(4 objects\)"),
        ({"map": "persn=x"}, "'persn', which the export does not have.\nDid you mean person"),
        ({"map": "person"}, "OLD=NEW was expected"),
        ({"ignore_labels": "car"}, "'car', which the export does not have"),
        ({"format": "coc"}, "no annotation format"),
        ({"group_by": "["}, "no regular expression"),
        ({"split_like": Path("nothing")}, "not a dataset folder"),
        ({"images": Path("nothing")}, "no folder nothing"),
        ({"paint_order": "person,sky"}, "does not have: sky"),
        ({"paint_order": "background"}, "leaves out classes: person"),
        ({"paint_order": "person,person"}, "twice"),
        ({"val_fraction": 0.0}, "between 0 and 1"),
        ({"val_fraction": 1.0}, "between 0 and 1"),
    ],
)
def test_wrong_options_are_refused_and_nothing_is_written(tmp_path, options, message):
    source = write_export(tmp_path / "e", "a.jpg", "b.jpg", "c.jpg", "d.jpg")
    with pytest.raises(UserError, match=message):
        convert(ConvertConfig(source, tmp_path / "d", **options))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["e"]


@pytest.mark.parametrize(
    ("names", "objects", "message"),
    [
        (["a.jpg"], "person", "1 annotated picture that"),
        (["a.jpg", "b.jpg"], "", "no outline"),
    ],
)
def test_unusable_exports_are_refused(tmp_path, names, objects, message):
    with pytest.raises(UserError, match=message):
        convert(ConvertConfig(write_export(tmp_path / "e", *names, objects=objects), tmp_path / "d"))


def test_pictures_that_differ_in_the_suffix_alone_are_named(tmp_path):
    source = write_export(tmp_path / "e", "a.jpg", "b.jpg")
    (source / "a.xml").rename(source / "a.jpg.xml")
    write_export(source, "a.png")
    with pytest.raises(UserError, match=r"a\.jpg and a\.png"):
        convert(ConvertConfig(source, tmp_path / "d", val_fraction=0.01))


def test_picture_annotated_twice_is_named(tmp_path):
    source = write_export(tmp_path / "e", "a.jpg", "b.jpg")
    (source / "a.jpg.xml").write_bytes((source / "a.xml").read_bytes())
    with pytest.raises(UserError, match=r"a\.jpg is annotated 2 times"):
        convert(ConvertConfig(source, tmp_path / "d"))


def test_names_that_look_like_markup_are_printed_as_they_are(tmp_path, capsys):
    source = write_export(tmp_path / "e", "a.jpg", "b.jpg", objects="[/sky],:car: [bold]x")
    convert(ConvertConfig(source, tmp_path / "[d]")).render()
    out = capsys.readouterr().out
    assert "[/sky]" in out
    assert ":car: [bold]x" in out


def test_used_target_is_left_alone(tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match="not empty"):
        convert(ConvertConfig(write_export(tmp_path / "e", "a.jpg", "b.jpg"), tmp_path / "d"))
    assert (tmp_path / "d" / "mine.txt").read_text() == "mine"


def test_unknown_export_is_described(tmp_path):
    (tmp_path / "e").mkdir()
    (tmp_path / "e" / "x.txt").touch()
    with pytest.raises(UserError, match=r"1 x \.txt"):
        convert(ConvertConfig(tmp_path / "e", tmp_path / "d"))
