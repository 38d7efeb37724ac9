"""convert --merge: what is replaced, added, kept, and refused."""

import itertools
import re
import shutil
import zipfile
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segtune.annotations.annotated_image import AnnotatedImage, Polygon, Shape
from segtune.annotations.convert import convert
from segtune.annotations.dataset_folder import dataset_classes, find_pairs, find_split
from segtune.annotations.merge import _is_same_picture
from segtune.annotations.write_cvat import cvat_file
from segtune.annotations.write_labelme_xml import labelme_file
from segtune.classes import Color, class_table, write_classes
from segtune.cli import main
from segtune.config import ConvertConfig, PreannotationOptions
from segtune.errors import DataError, UserError
from segtune.files import locked
from segtune.pictures import read_labels
from segtune.prediction.polygons import connected_areas
from segtune.prediction.preannotation import label_colors, preannotate
from segtune.prediction.predictor import Prediction

NAMES = ["floor", "wall", "box"]
COLORS: dict[str, Color] = {"floor": (0, 0, 0), "wall": (230, 25, 75), "box": (255, 225, 25)}


def corrected(folder: Path, pictures: dict[str, Path], change: str = "box", names: list[str] = NAMES) -> Path:
    """An export of CVAT with pictures whose labels are right but for a square of a class in the corner."""
    (folder / "images").mkdir(parents=True)
    table = class_table(names)
    with cvat_file(folder / "annotations.zip", dict.fromkeys(names, (1, 2, 3))) as add:
        for name, picture in pictures.items():
            shutil.copy(picture, folder / "images" / name)
            path = picture.parents[1] / "Labels" / f"{picture.stem}.png"
            labels = read_labels(path) if path.exists() else np.zeros((72, 96), np.uint8)
            labels[:10, :10] = names.index(change)
            prediction = Prediction(labels, np.ones(labels.shape, np.float32), table)
            add(preannotate(name, prediction, PreannotationOptions(with_background=True)))
    return folder / "annotations.zip"


def merge(export: Path, dataset: Path, **options: object):
    options = {"images": export.parent / "images", **options}
    return convert(ConvertConfig(export, dataset, merge=True, **options))


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def export(dataset, tmp_path) -> Path:
    pictures = {"000.jpg": dataset / "train" / "Images" / "000.jpg", "100.jpg": dataset / "val" / "Images" / "100.jpg"}
    return corrected(tmp_path / "export", pictures)


def test_corrected_pictures_get_their_labels_and_others_stay(dataset, export):
    before, splits = content(dataset), find_split(dataset)
    report = merge(export, dataset)
    after = content(dataset)
    assert find_split(dataset) == splits
    assert sorted(report.changed) == ["000", "100"]
    for split, stem in (("train", "000"), ("val", "100")):
        path = f"{split}/Labels/{stem}.png"
        assert (read_labels(dataset / path)[:10, :10] == 2).all()
        assert after[f"replaced/1/{path}"] == before[path]
        del before[path]
    assert {name: bytes_ for name, bytes_ in after.items() if name in before} == before
    assert set(after) - set(before) == {
        "train/Labels/000.png", "val/Labels/100.png", "replaced/1/train/Labels/000.png",
        "replaced/1/val/Labels/100.png",
    }  # fmt: skip


def test_changes_are_counted_by_class(dataset, export, capsys):
    old = read_labels(dataset / "train" / "Labels" / "000.png"), read_labels(dataset / "val" / "Labels" / "100.png")
    expected = sum(np.bincount(labels[:10, :10].ravel(), minlength=256) for labels in old)
    expected[2] = 0
    assert main(["convert", str(export), str(dataset), "--merge", "--images", str(export.parent / "images")]) == 0
    told = re.sub(r"[│\s]+", " ", capsys.readouterr().out)
    assert "2 pictures changed, 0 added" in told
    assert f"2 box 0 {expected.sum():,} 0" in told
    assert f"1 wall {expected[1]:,} 0 0" in told
    assert "kept in" in told


def test_to_merge_again_changes_nothing(dataset, export):
    merge(export, dataset)
    before = content(dataset)
    report = merge(export, dataset)
    assert (report.changed, report.unchanged, report.kept) == ([], 2, None)
    assert content(dataset) == before


def test_new_pictures_are_added_and_keep_their_place(dataset, export, tmp_path):
    pictures = {}
    for number in range(40):
        Image.fromarray(np.full((72, 96, 3), 5 * number, np.uint8)).save(tmp_path / f"new-{number}.png")
        pictures[f"new-{number}.png"] = tmp_path / f"new-{number}.png"
    report = merge(corrected(tmp_path / "more", pictures), dataset, group_by="none")
    assert {split: len(names) for split, names in report.added.items()} == {
        split: list(find_split(dataset).values()).count(split) - count for split, count in (("train", 6), ("val", 3))
    }
    assert len(report.added["val"]) > 2
    splits = find_split(dataset)
    merge(export, dataset)
    assert find_split(dataset) == splits
    assert all(find_pairs(dataset, split) for split in ("train", "val"))


@pytest.mark.parametrize(("split", "stem"), [("train", "000"), ("val", "100")])
def test_series_of_the_dataset_stay_together(dataset, tmp_path, split, stem):
    """In one of the cases the hash of the name says otherwise."""
    for kind, suffix in (("Images", "jpg"), ("Labels", "png")):
        (dataset / split / kind / f"{stem}.{suffix}").rename(dataset / split / kind / f"jump_0.{suffix}")
    Image.new("RGB", (96, 72), (9, 99, 200)).save(tmp_path / "jump_1.png")
    report = merge(corrected(tmp_path / "more", {"jump_1.png": tmp_path / "jump_1.png"}), dataset, group_by=r"(jump)_")
    assert list(report.added) == [split]


@pytest.mark.parametrize(("had_pictures", "has_pictures"), [(False, False), (True, True), (True, False), (False, True)])
def test_new_frames_of_a_folder_go_where_its_frames_are(tmp_path, had_pictures, has_pictures):
    """Of exports with pictures those lie below images/, which is in the names of the dataset then."""

    def frames(folder: Path, numbers: range) -> None:
        images = []
        for camera in range(8):
            for number in numbers:
                path = folder / "images" / f"cam{camera}" / f"{number:06}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.new("RGB", (30, 20), (30 * camera, number, 90)).save(path)
                name = f"cam{camera}/{number:06}.png"
                images.append(
                    f'<image name="{name}" width="30" height="20"><polygon label="box" points="1,1;9,1;9,9"/></image>'
                )
        (folder / "annotations.xml").write_text(f"<annotations>{''.join(images)}</annotations>")

    def options(name: str, has_pictures: bool) -> dict[str, Path | None]:
        folder = tmp_path / name
        export = folder if has_pictures else folder / "annotations.xml"
        return {"source": export, "dataset": tmp_path / "data", "images": None if has_pictures else folder / "images"}

    def splits() -> dict[str, set[str]]:
        found = defaultdict(set)
        for name, split in find_split(tmp_path / "data").items():
            found[name.removeprefix("images_")[:4]].add(split)
        return found

    frames(tmp_path / "first", range(5))
    frames(tmp_path / "more", range(10, 15))
    convert(ConvertConfig(**options("first", had_pictures)))
    before = splits()
    assert set().union(*before.values()) == {"train", "val"}
    convert(ConvertConfig(**options("more", has_pictures), merge=True))
    assert splits() == before
    assert len(find_split(tmp_path / "data")) == 80


def test_classes_that_the_dataset_lacks_are_told_as_that(dataset, tmp_path):
    picture = dataset / "train" / "Images" / "000.jpg"
    export = corrected(tmp_path / "e", {"000.jpg": picture}, change="roof", names=[*NAMES, "roof"])
    with pytest.raises(DataError, match=r"The dataset has the classes floor, wall, box; .*others:\n  - roof") as caught:
        merge(export, dataset)
    assert "--map NEW=OLD" in caught.value.hint


@pytest.mark.parametrize("classes", ["", "wall,box"])
def test_classes_that_had_no_place_in_the_paint_order_lie_on_top(dataset, tmp_path, classes):
    write_classes(dataset / "classes.yaml", replace(class_table(NAMES), paint_order=("wall", "floor")))
    outline = np.array([[0.0, 0], [96, 0], [96, 72], [0, 72]])
    drawn = ("box", "wall") if classes else ("box", "floor", "wall")
    shapes = [Shape(name, Polygon((outline,)), "polygon") for name in drawn]
    with labelme_file(tmp_path / "e.zip") as add:
        add(AnnotatedImage("000.jpg", shapes, (72, 96)))
    images = dataset / "train" / "Images"
    convert(ConvertConfig(tmp_path / "e.zip", dataset, merge=True, images=images, classes=classes))
    assert (read_labels(dataset / "train" / "Labels" / "000.png") == NAMES.index("box")).all()


def test_classes_are_found_by_name(dataset, tmp_path):
    picture = dataset / "train" / "Images" / "000.jpg"
    export = corrected(tmp_path / "e", {"000.jpg": picture}, change="floor", names=["box", "wall", "floor"])
    merge(export, dataset)
    # Read with the names of the export: 0 is box there.
    assert (read_labels(dataset / "train" / "Labels" / "000.png")[:10, :10] == 0).all()
    assert dataset_classes(dataset).names == tuple(NAMES)


def test_unknown_classes_are_refused_and_can_be_merged(dataset, tmp_path):
    picture = dataset / "train" / "Images" / "000.jpg"
    export = corrected(tmp_path / "e", {"000.jpg": picture}, change="roof", names=[*NAMES, "roof"])
    before = content(dataset)
    with pytest.raises(UserError, match="roof"):
        merge(export, dataset)
    assert content(dataset) == before
    merge(export, dataset, map="roof=wall")
    assert (read_labels(dataset / "train" / "Labels" / "000.png")[:10, :10] == 1).all()


def test_other_pictures_of_a_known_name_are_refused(dataset, tmp_path):
    export = corrected(tmp_path / "e", {"000.jpg": dataset / "train" / "Images" / "003.jpg"})
    before = content(dataset)
    with pytest.raises(DataError, match=r"000\.jpg is another picture than"):
        merge(export, dataset)
    assert content(dataset) == before


def mirrored(path: Path, target: Path) -> Path:
    """A picture that the dataset doesn't have."""
    Image.open(path).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(target)
    return target


def test_pictures_that_are_there_under_another_name_are_refused(dataset, tmp_path):
    """Else the labels that they had stay beside the corrected ones, in another split perhaps."""
    (tmp_path / "train" / "Images").mkdir(parents=True)
    renamed = shutil.copy(dataset / "val" / "Images" / "100.jpg", tmp_path / "train" / "Images" / "frame_7.jpg")
    before = content(dataset)
    with pytest.raises(DataError, match=r"under other names:\n.*frame_7\.jpg is .*val/Images/100\.jpg"):
        merge(corrected(tmp_path / "e", {"frame_7.jpg": renamed}), dataset)
    assert content(dataset) == before


def test_another_frame_of_a_still_camera_is_another_picture(dataset, tmp_path):
    """Videos have the same names of frames; of two whose cameras don't move, little tells the pictures apart."""
    frame = shutil.copytree(dataset / "train", tmp_path / "train") / "Images" / "000.jpg"
    pixels = np.asarray(Image.open(frame)).copy()
    pixels[20:26, 30:36] = (pixels[20:26, 30:36] < 128) * 255
    Image.fromarray(pixels).save(frame, quality=95)
    export = corrected(tmp_path / "e", {"000.jpg": frame})
    with pytest.raises(DataError, match=r"000\.jpg is another picture than"):
        merge(export, dataset)


@pytest.mark.parametrize("quality", [60, 75, 95])
def test_a_photograph_that_was_saved_anew_is_the_same_picture(shared_data, tmp_path, quality):
    paths = sorted((shared_data / "camvid").glob("*/Images/*"))[::20]
    assert len(paths) > 20
    for path, side in itertools.product(paths, (480, 96)):
        picture = Image.open(path).convert("RGB").resize((side, side * 3 // 4))
        picture.save(tmp_path / "first.png")
        picture.save(tmp_path / "anew.jpg", quality=quality)
        assert _is_same_picture(tmp_path / "first.png", tmp_path / "anew.jpg")


def test_dark_pictures_are_told_apart(shared_data, tmp_path):
    """Those of 12 bits in files of 16 have sixteen levels of grey."""
    for number, path in enumerate(sorted((shared_data / "camvid").glob("val/Images/*"))[:2]):
        Image.fromarray(np.asarray(Image.open(path).convert("L"), np.uint16) * 16).save(tmp_path / f"{number}.png")
    shutil.copy(tmp_path / "0.png", tmp_path / "copy.png")
    assert _is_same_picture(tmp_path / "0.png", tmp_path / "copy.png")
    assert not _is_same_picture(tmp_path / "0.png", tmp_path / "1.png")


def nested(folder: Path, pictures: dict[str, Path], label: str) -> Path:
    """An export of pictures in folders, each wholly of a class."""
    with cvat_file(folder / "annotations.zip", COLORS) as add:
        for name, picture in pictures.items():
            (folder / "images" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(picture, folder / "images" / name)
            add(AnnotatedImage(name, [box(label, 0, 0, 72, 96)], (72, 96)))
    return folder / "annotations.zip"


def test_pictures_in_folders_are_told_apart(dataset, tmp_path):
    """The dataset has 000 of a folder that was merged alone; another folder's 000 comes under its folder's name."""
    other = mirrored(dataset / "train" / "Images" / "003.jpg", tmp_path / "other.jpg")
    of_a = dataset / "train" / "Images" / "000.jpg"
    first = merge(nested(tmp_path / "b", {"b/000.jpg": other}, "wall"), dataset)
    assert (first.changed, list(first.added.values())) == ([], [["b_000"]])
    second = merge(nested(tmp_path / "again", {"b/000.jpg": other}, "box"), dataset)
    assert (second.changed, second.added) == (["b_000"], {})
    both = merge(nested(tmp_path / "both", {"b/000.jpg": other, "a/000.jpg": of_a}, "floor"), dataset)
    assert (sorted(both.changed), both.added) == (["000", "b_000"], {})
    split = find_split(dataset)["b_000"]
    assert (dataset / split / "Images" / "b_000.jpg").read_bytes() == other.read_bytes()
    # Zipped with its pictures below images/, it is still the same one.
    export = nested(tmp_path / "zipped", {"b/000.jpg": other}, "wall")
    with zipfile.ZipFile(export, "a") as archive:
        archive.write(other, "images/b/000.jpg")
    third = merge(export, dataset, images=None)
    assert (third.changed, third.added) == (["b_000"], {})


def test_pictures_that_were_saved_anew_replace_the_old_file(dataset, tmp_path):
    picture = dataset / "train" / "Images" / "000.jpg"
    export = corrected(tmp_path / "e", {"000.jpg": picture})
    Image.open(picture).save(tmp_path / "e" / "images" / "000.png")
    (tmp_path / "e" / "images" / "000.jpg").unlink()
    merge(export, dataset)
    assert [path.name for path in (dataset / "train" / "Images").glob("000.*")] == ["000.png"]
    assert (dataset / "replaced" / "1" / "train" / "Images" / "000.jpg").exists()


def test_what_was_replaced_is_no_part_of_a_dataset_that_is_converted(dataset, export, tmp_path):
    merged = merge(export, dataset)
    assert (dataset / "replaced").is_dir()
    report = convert(ConvertConfig(dataset, tmp_path / "again"))
    num_pictures = {split: len(list((dataset / split / "Images").iterdir())) for split in ("train", "val")}
    assert report.num_pictures == merged.num_pictures == num_pictures


def test_suffixes_may_differ_in_capitals_alone(dataset, tmp_path):
    picture = (dataset / "train" / "Images" / "000.jpg").rename(dataset / "train" / "Images" / "000.JPG")
    export = corrected(tmp_path / "e", {"000.jpg": picture})
    Image.open(picture).save(tmp_path / "e" / "images" / "000.jpg", quality=90)
    new = (tmp_path / "e" / "images" / "000.jpg").read_bytes()
    merge(export, dataset)
    (path,) = (dataset / "train" / "Images").glob("000.*")
    assert path.read_bytes() == new


@pytest.mark.parametrize("damage", ["cut", "colours"])
def test_labels_that_cannot_be_read_are_replaced_and_kept(dataset, export, damage, capsys):
    path = dataset / "val" / "Labels" / "100.png"
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:60])
    else:
        Image.new("RGB", (96, 72), (1, 2, 3)).save(path)
    before = path.read_bytes()
    report = merge(export, dataset)
    assert sorted(report.changed) == ["000", "100"]
    assert (read_labels(path)[:10, :10] == 2).all()
    assert (dataset / "replaced" / "1" / "val" / "Labels" / "100.png").read_bytes() == before
    assert int(report.won.sum()) == int(report.lost.sum()) + 72 * 96
    report.render()
    assert "pixels" in capsys.readouterr().out


@pytest.mark.parametrize(("background", "outside"), [("class", 0), ("ignore", 255), ("", 255)])
def test_pixels_outside_are_what_they_are_in_the_dataset(dataset, tmp_path, background, outside):
    write_classes(dataset / "classes.yaml", replace(class_table(NAMES), background=background))
    labels = np.full((72, 96), 255, np.uint8)
    labels[:20] = 1
    (tmp_path / "e" / "images").mkdir(parents=True)
    shutil.copy(dataset / "train" / "Images" / "000.jpg", tmp_path / "e" / "images")
    with cvat_file(tmp_path / "e" / "x.zip", COLORS) as add:
        add(preannotate("000.jpg", Prediction(labels, np.ones(labels.shape, np.float32), class_table(NAMES)),
                        PreannotationOptions()))  # fmt: skip
    merge(tmp_path / "e" / "x.zip", dataset)
    expected = np.where(labels == 255, outside, labels)
    assert (read_labels(dataset / "train" / "Labels" / "000.png") == expected).all()


@pytest.mark.parametrize("background", ["", "class", "ignore", "error"])
@pytest.mark.parametrize(
    "names", [["background", "wall", "box"], ["floor", "Background", "box"], ["void", "wall", "_background_"], NAMES]
)
@pytest.mark.parametrize("with_background", [False, True])
def test_what_is_predicted_comes_back_as_it_was(dataset, tmp_path, background, names, with_background):
    table = replace(class_table(names), background=background)
    write_classes(dataset / "classes.yaml", table)
    before = content(dataset)
    options = PreannotationOptions(with_background=with_background)
    shutil.copytree(dataset / "val" / "Images", tmp_path / "e" / "images")
    with cvat_file(tmp_path / "e" / "x.zip", label_colors(table, options)) as add:
        for pair in find_pairs(dataset, "val"):
            labels = read_labels(pair.labels)
            add(preannotate(pair.picture.name, Prediction(labels, np.ones(labels.shape, np.float32), table), options))
    report = merge(tmp_path / "e" / "x.zip", dataset)
    assert (report.changed, report.unchanged) == ([], 3)
    assert content(dataset) == before


@pytest.mark.parametrize("name", ["wall\u2028thick", "wall\x85thick", "wall\nthick", 'wall, "thick"'])
def test_any_class_name_comes_back(dataset, tmp_path, name):
    names = ["floor", name, "box"]
    write_classes(dataset / "classes.yaml", class_table(names, paint_order=names))
    picture = dataset / "train" / "Images" / "000.jpg"
    merge(corrected(tmp_path / "e", {"000.jpg": picture}, change=name, names=names), dataset)
    assert (read_labels(dataset / "train" / "Labels" / "000.png")[:10, :10] == 1).all()


def test_a_dataset_without_class_names_is_told_its_number_of_classes(dataset, export, capsys):
    (dataset / "classes.yaml").unlink()
    words = ["convert", str(export), str(dataset), "--merge", "--images", str(export.parent / "images")]
    assert main(words) == 2
    assert "Give --num-classes" in capsys.readouterr().err
    words += ["--map", "floor=class_0,wall=class_1,box=class_2"]
    assert main([*words, "--num-classes", "3", "--ignore-value", "11"]) == 0
    assert (read_labels(dataset / "train" / "Labels" / "000.png")[:10, :10] == 2).all()


def test_pictures_may_all_be_empty(dataset, tmp_path):
    write_classes(dataset / "classes.yaml", replace(class_table(NAMES), background="class"))
    shutil.copytree(dataset / "train" / "Images", tmp_path / "e" / "images")
    with cvat_file(tmp_path / "e" / "x.zip", COLORS) as add:
        for name in ("000.jpg", "001.jpg"):
            add(AnnotatedImage(name, [], (72, 96)))
    before = content(dataset)
    with pytest.raises(UserError, match="--empty background"):
        merge(tmp_path / "e" / "x.zip", dataset)
    assert content(dataset) == before
    report = merge(tmp_path / "e" / "x.zip", dataset, empty="background")
    report.render()
    assert sorted(report.changed) == ["000", "001"]
    assert not read_labels(dataset / "train" / "Labels" / "001.png").any()


@pytest.mark.parametrize("split", ["val", "test"])
def test_splits_may_be_empty(dataset, tmp_path, split):
    shutil.rmtree(dataset / split, ignore_errors=True)
    for kind in ("Images", "Labels"):
        (dataset / split / kind).mkdir(parents=True)
    known = dataset / "train" / "Images" / "000.jpg"
    new = mirrored(dataset / "train" / "Images" / "001.jpg", tmp_path / "new.jpg")
    report = merge(corrected(tmp_path / "known", {"000.jpg": known}), dataset)
    assert (report.changed, report.added) == (["000"], {})
    report = merge(corrected(tmp_path / "new", {"new.jpg": new}), dataset)
    assert sum(map(len, report.added.values())) == 1
    (dataset / split / "Labels" / "alone.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"alone\.png has no picture"):
        merge(corrected(tmp_path / "again", {"000.jpg": known}), dataset)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"repair": "drop"}, "can't be done at once"), ({"split_like": Path("x")}, "keeps the dataset's own split")],
)
def test_options_that_contradict_are_refused(dataset, export, options, message):
    with pytest.raises(UserError, match=message):
        merge(export, dataset, **options)


def test_a_name_in_two_splits_is_refused_before_the_export_is_read(dataset, tmp_path):
    for kind, suffix in (("Images", ".jpg"), ("Labels", ".png")):
        shutil.copy(dataset / "train" / kind / f"001{suffix}", dataset / "val" / kind / f"001{suffix}")
    before = content(dataset)
    (tmp_path / "broken.zip").write_bytes(b"no zip")
    with pytest.raises(DataError, match=r"train.Images.001\.jpg and .*val.Images.001\.jpg(.|\n)*segtune check"):
        merge(tmp_path / "broken.zip", dataset, images=None)
    assert content(dataset) == before


def test_what_is_no_dataset_is_refused(tmp_path, export):
    with pytest.raises(UserError, match="no dataset folder"):
        merge(export, tmp_path / "nowhere")


def test_nothing_is_left_behind(dataset, export):
    merge(export, dataset)
    assert not [path for path in dataset.iterdir() if path.name.startswith(".")]
    assert sum(1 for _ in connected_areas(read_labels(dataset / "train" / "Labels" / "000.png") == 2)) >= 1


def box(label: str, top: int, left: int, bottom: int, right: int, z_order: int = 0) -> Shape:
    corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float64)
    return Shape(label, Polygon((corners,)), "polygon", z_order)


@pytest.mark.parametrize(
    ("writer", "options", "on_top"),
    [
        (cvat_file, {}, "wall"),
        (cvat_file, {"paint_order": "floor,wall,box"}, "box"),
        (labelme_file, {}, "box"),
        (labelme_file, {"paint_order": "floor,box,wall"}, "wall"),
    ],
)
def test_a_correction_lies_on_top_where_the_format_says_so(dataset, tmp_path, capsys, writer, options, on_top):
    write_classes(dataset / "classes.yaml", class_table(NAMES, paint_order=NAMES))
    shutil.copytree(dataset / "train" / "Images", tmp_path / "e" / "images")
    shapes = [box("floor", 0, 0, 72, 96), box("box", 10, 10, 50, 50), box("wall", 20, 20, 30, 30, z_order=1)]
    with writer(tmp_path / "e" / "x.zip", COLORS) if writer is cvat_file else writer(tmp_path / "e" / "x.zip") as add:
        add(AnnotatedImage("000.jpg", shapes, (72, 96)))
    merge(tmp_path / "e" / "x.zip", dataset, **options).render()
    labels = read_labels(dataset / "train" / "Labels" / "000.png")
    assert NAMES[labels[25, 25]] == on_top
    assert (labels[40, 40], labels[60, 60]) == (2, 0)
    told = " ".join(capsys.readouterr().out.split())
    assert ("--paint-order changes that" in told) == (writer is cvat_file and not options)


def test_polygons_come_back_as_they_were_in_spite_of_a_paint_order(dataset, tmp_path):
    """Floor lies in a hole of a box: drawn on top of it, though it is the lowest class."""
    write_classes(dataset / "classes.yaml", class_table(NAMES, paint_order=NAMES))
    shutil.copytree(dataset / "train" / "Images", tmp_path / "e" / "images")
    labels = np.zeros((72, 96), np.uint8)
    labels[:20], labels[30:60, 30:60], labels[40:50, 40:50] = 1, 2, 0
    of = Prediction(labels, np.ones(labels.shape, np.float32), class_table(NAMES))
    with cvat_file(tmp_path / "e" / "x.zip", COLORS) as add:
        add(preannotate("000.jpg", of, PreannotationOptions(shapes="polygon")))
    merge(tmp_path / "e" / "x.zip", dataset)
    assert (read_labels(dataset / "train" / "Labels" / "000.png") == labels).all()


def test_labels_of_a_split_without_pictures_are_kept(dataset, export, tmp_path):
    """Its pictures may only have been moved away."""
    shutil.move(dataset / "val" / "Images", tmp_path / "moved")
    labels = dataset / "val" / "Labels" / "100.png"
    before = labels.read_bytes()
    shutil.copytree(tmp_path / "moved", export.parent / "images", dirs_exist_ok=True)
    report = merge(export, dataset, val_fraction=0.99)
    assert report.added["val"] == ["100"]
    assert labels.read_bytes() != before
    assert (dataset / "replaced" / "1" / "val" / "Labels" / "100.png").read_bytes() == before


def test_only_one_process_merges_at_a_time(dataset, export):
    with (
        locked(dataset / ".merge.lock", UserError("busy")),
        pytest.raises(UserError, match="Another process is merging"),
    ):
        merge(export, dataset)
    merge(export, dataset)
    assert not list(dataset.glob(".*"))
