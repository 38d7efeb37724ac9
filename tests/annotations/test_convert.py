"""The whole conversion."""

import json
import unicodedata
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
    assert report.covered == ["airplane", "person"]
    report.render()
    assert "--paint-order sky,ground,person,airplane" in "".join(capsys.readouterr().out.splitlines())


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
        ({"classes": 'bus,"car",person'}, ("background", "bus", "car", "person"), 1),
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


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"classes": '"cup, glass", plate'}, ("background", "cup, glass", "plate")),
        ({"map": '"cup, glass=dish, deep",plate=x'}, ("background", "dish, deep", "x")),
        ({"map": '"cup, glass"=dish'}, ("background", "dish", "plate")),
        ({"ignore_labels": '"cup, glass"'}, ("background", "plate")),
        ({"paint_order": 'plate ,"cup, glass"'}, ("background", "cup, glass", "plate")),
    ],
)
def test_names_with_commas_stand_in_quotes(tmp_path, options, names):
    (tmp_path / "e").mkdir()
    points = [[[2, 2], [12, 2], [12, 8]], [[1, 1], [5, 1], [5, 5]]]
    shapes = [
        {"label": n, "points": p, "shape_type": "polygon"} for n, p in zip(["cup, glass", "plate"], points, strict=True)
    ]
    for name in "ab":
        Image.new("RGB", (30, 20)).save(tmp_path / "e" / f"{name}.jpg")
        about = {"version": "5", "imagePath": f"{name}.jpg", "imageWidth": 30, "imageHeight": 20, "shapes": shapes}
        (tmp_path / "e" / f"{name}.json").write_text(json.dumps(about))
    assert convert(ConvertConfig(tmp_path / "e", tmp_path / "d", **options)).classes.names == names


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


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        (
            "abc",
            "no outline or mask that.*\nLeft out: annotated pictures that are not there: 3.\n--images names",
        ),
        ("bc", "1 annotated picture of .*\nLeft out: annotated pictures that are not there: 2.\n--images names"),
    ],
)
def test_too_few_pictures_that_are_there_are_told(tmp_path, missing, message):
    source = write_export(tmp_path / "e", "a.jpg", "b.jpg", "c.jpg")
    for name in missing:
        (source / f"{name}.jpg").unlink()
    with pytest.raises(UserError, match=message):
        convert(ConvertConfig(source, tmp_path / "d", allow_missing=True))


def test_all_that_is_left_out_is_printed_with_what_to_do(tmp_path, capsys):
    (tmp_path / "e").mkdir()
    outline = 'label="a" z_order="0" points="2,2;12,2;12,8"'
    shapes = (
        f"<polygon {outline}/><polyline {outline}/><polyline {outline}/><points {outline}/>"
        '<box label="a" xtl="1" ytl="1" xbr="9" ybr="9" z_order="0"/><tag label="a"/>'
    )
    images = "".join(f'<image id="{i}" name="{i}.jpg" width="30" height="20">{shapes}</image>' for i in range(3))
    images += '<image id="3" name="3.jpg" width="30" height="20"/><image id="4" name="4.jpg" width="30" height="20"/>'
    labels = "<meta><task><labels><label><name>a</name></label></labels></task></meta>"
    (tmp_path / "e" / "annotations.xml").write_text(
        f"<annotations><version>1.1</version>{labels}{images}</annotations>"
    )
    for index in (0, 1, 2, 3, 5):
        Image.new("RGB", (30, 20), (index, 0, 0)).save(tmp_path / "e" / f"{index}.jpg")
    convert(ConvertConfig(tmp_path / "e", tmp_path / "d", allow_missing=True)).render()
    out = capsys.readouterr().out
    for line in (
        "boxes (--boxes fills them): 3",
        "polylines: 6",
        "points: 3",
        "tags: 3",
        "pictures without objects (--empty background takes them as background): 1",
        "annotated pictures that are not there: 1",
        "pictures without annotations: 1",
    ):
        assert f"Left out: {line}." in out
    convert(ConvertConfig(tmp_path / "e", tmp_path / "boxes", allow_missing=True, boxes=True)).render()
    assert "boxes" not in capsys.readouterr().out.partition("Left out")[2]


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


@pytest.mark.parametrize(
    ("old", "new"),
    [
        # Names with folders, once others of the name come; without, once they are gone.
        ([f"cam1/{i}.jpg" for i in range(9)], [f"cam2/{i}.jpg" for i in range(9)]),
        ([f"cam1/{i}.jpg" for i in range(9)] + ["cam2/0.jpg"], ["x.jpg"]),
        ([f"{i}.jpg" for i in range(9)], ["sub/5.PNG"]),
    ],
)
def test_pictures_stay_in_their_split_whatever_they_are_called_by_now(tmp_path, old, new):
    convert(ConvertConfig(write_export(tmp_path / "e", *old), tmp_path / "old", val_fraction=0.4))
    for path in (tmp_path / "e").glob("cam2/*"):
        path.unlink()
    write_export(tmp_path / "e", *new)
    convert(ConvertConfig(tmp_path / "e", tmp_path / "new", val_fraction=0.1, split_like=tmp_path / "old"))
    num_found = 0
    for before in (tmp_path / "old").glob("*/Images/*"):
        after = [path for path in (tmp_path / "new").glob("*/Images/*") if path.samefile(before)]
        assert [path.parts[-3] for path in after] == [before.parts[-3]] * len(after)
        num_found += len(after)
    assert num_found == 9


def test_a_dataset_without_any_of_the_pictures_is_told(tmp_path):
    convert(ConvertConfig(write_export(tmp_path / "e", "a.jpg", "b.jpg"), tmp_path / "old"))
    report = convert(
        ConvertConfig(write_export(tmp_path / "f", "c.jpg", "d.jpg"), tmp_path / "d", split_like=tmp_path / "old")
    )
    assert "no picture of" in " ".join(report.notes)


@pytest.mark.parametrize(
    ("names", "made"),
    [
        (["1/a.JPG", "2/A.jpg"], ["1_a.JPG", "2_A.jpg"]),
        (["1/caf\u00e9.jpg", "2/cafe\u0301.jpg"], ["1_caf\u00e9.jpg", "2_cafe\u0301.jpg"]),
        ([f"{'f' * 200}/{'é' * 60}.jpg", f"{'g' * 200}/{'é' * 60}.jpg"], None),
    ],
)
def test_names_fit_every_file_system(tmp_path, names, made):
    convert(ConvertConfig(write_export(tmp_path / "e", *names), tmp_path / "d"))
    pictures = sorted(path.name for path in (tmp_path / "d").glob("*/Images/*"))
    labels = {path.stem for path in (tmp_path / "d").glob("*/Labels/*.png")}
    assert labels == {name.rpartition(".")[0] for name in pictures}
    assert len({unicodedata.normalize("NFC", name).casefold() for name in labels}) == 2
    if made is None:
        assert all(len(name.encode()) <= 255 and "é" * 60 in name for name in pictures)
    else:
        assert pictures == sorted(made)


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
    assert convert(ConvertConfig(source, tmp_path / "d")).skipped == {
        "pictures without objects (--empty background takes them as background)": 1
    }
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
        ({"split_like": Path("nothing")}, "no dataset folder nothing"),
        ({"images": Path("nothing")}, "no folder nothing"),
        ({"paint_order": "person,sky"}, "does not have: sky"),
        ({"paint_order": "background"}, "leaves out classes: person"),
        ({"paint_order": "person,person"}, "a class twice: person"),
        ({"num_classes": 3}, "go with --repair"),
        ({"ignore_value": 3}, "go with --repair"),
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
        (["a.jpg"], "person", "1 annotated picture of .*/e can be used; at least 2"),
        (["test/a.jpg", "test/b.jpg"], "person", r'test pictures alone; (.|\n)*subset is called "test"'),
        (["a.jpg", "b.jpg"], "", r"no outline or mask that can be used.*\nLeft out: pictures without objects .*: 2\."),
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
