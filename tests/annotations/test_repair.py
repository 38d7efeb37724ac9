"""Each repair mends what the check found, in a copy."""

import hashlib
import io
import shutil

import numpy as np
import pytest
from PIL import Image

import segtune
from segtune.annotations.check import check_dataset
from segtune.annotations.dataset_folder import dataset_classes
from segtune.annotations.repair import repair_dataset
from segtune.classes import class_table, write_classes
from segtune.cli import main
from segtune.config import ConvertConfig
from segtune.errors import UserError

NAME = "train/Labels/000.png"


def values(path):
    return np.asarray(Image.open(path))


def save(path, array, **options):
    Image.fromarray(np.asarray(array, np.uint8)).save(path, **options)


def all_labels(dataset):
    return sorted(dataset.glob("*/Labels/*.png"))


def palette(dataset):
    return dataset_classes(dataset).palette


def as_jpeg(dataset):
    path = dataset / NAME
    Image.fromarray(values(path)).save(path.with_suffix(".jpg"), quality=60)
    path.unlink()


def smeared(dataset):
    colors = palette(dataset)[values(dataset / NAME)].astype(int)
    noise = np.random.default_rng(0).integers(-20, 21, colors.shape)
    save(dataset / NAME, np.clip(colors + noise, 0, 255))


def turned(dataset):
    path = dataset / "train" / "Images" / "000.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = Image.open(path)
    picture.load()
    # The pixels lie on their side; the tag turns them back.
    picture.transpose(Image.Transpose.ROTATE_90).save(path, exif=exif)
    save(dataset / NAME, np.rot90(values(dataset / NAME)))


def wide(dataset):
    path = dataset / NAME
    Image.fromarray(values(path).astype(np.uint16)).save(path)


def larger(dataset):
    path = dataset / NAME
    Image.open(path).resize((192, 144), Image.Resampling.NEAREST).save(path)


def from_1(dataset):
    for path in all_labels(dataset):
        save(path, values(path) + 1)


def compressed(array):
    """What a picture becomes as JPEG."""
    content = io.BytesIO()
    Image.fromarray(np.asarray(array, np.uint8)).save(content, "JPEG", quality=75)
    return np.asarray(Image.open(content))


def each(dataset, change):
    for path in all_labels(dataset):
        save(path, change(values(path)))


def other_palette(dataset):
    order = np.array([2, 0, 1], np.uint8)
    for path in all_labels(dataset):
        picture = Image.fromarray(order[values(path)])
        colors = np.zeros((256, 3), np.uint8)
        colors[order] = palette(dataset)[:3]
        picture.putpalette(colors.tobytes())
        picture.save(path)


def grey_jpegs(dataset):
    for path in all_labels(dataset):
        Image.fromarray(np.array([0, 127, 254], np.uint8)[values(path)]).save(path.with_suffix(".jpg"), quality=75)
        path.unlink()


WHOLE = {
    "ids in three channels": ("format", lambda d: each(d, lambda v: np.repeat(v[..., None], 3, axis=2))),
    "colours in JPEG": ("nearest", lambda d: each(d, lambda v: compressed(palette(d)[v]))),
    "grey steps": ("nearest", lambda d: each(d, lambda v: v * 127)),
    "grey steps in JPEG": ("nearest", lambda d: each(d, lambda v: compressed(v * 127))),
    "grey steps as .jpg": ("nearest", grey_jpegs),
    "grey steps in three channels": (
        "format,nearest",
        lambda d: each(d, lambda v: np.repeat((v * 127)[..., None], 3, 2)),
    ),
    "palette in another order": ("colors", other_palette),
}


def test_label_images_of_the_copy_are_its_own(dataset, tmp_path):
    wide(dataset)
    repair_dataset(ConvertConfig(dataset, tmp_path / "fixed", repair="format"))
    files = [*all_labels(tmp_path / "fixed"), tmp_path / "fixed" / "classes.yaml"]
    assert {path.stat().st_nlink for path in files} == {1}


def test_of_several_label_images_all_stay(dataset, tmp_path):
    wide(dataset)
    other = dataset / "train" / "Labels" / "001.bmp"
    save(other, values(other.with_suffix(".png")) * 0)
    both = [other.read_bytes(), other.with_suffix(".png").read_bytes()]
    report = repair_dataset(ConvertConfig(dataset, tmp_path / "fixed", repair="format"))
    kept = tmp_path / "fixed" / "train" / "Labels" / "001.bmp"
    assert [kept.read_bytes(), kept.with_suffix(".png").read_bytes()] == both
    assert report.changed["format"] == 1
    (dataset / "train" / "Labels" / "002.png").unlink()
    repair_dataset(ConvertConfig(dataset, tmp_path / "dropped", repair="drop"))
    assert (tmp_path / "dropped" / "train" / "Images" / "001.jpg").exists()
    assert not (tmp_path / "dropped" / "train" / "Images" / "002.jpg").exists()


def test_files_beside_a_picture_do_not_say_how_it_lies(dataset, tmp_path):
    sound = values(dataset / NAME)
    turned(dataset)
    (dataset / "train" / "Images" / "000.AAE").write_text("no picture")
    Image.new("RGB", (8, 8)).save(dataset / "train" / "Images" / "000.a.jpg")
    Image.new("L", (8, 8)).save(dataset / "train" / "Labels" / "000.a.png")
    repair_dataset(ConvertConfig(dataset, tmp_path / "fixed", repair="orientation"))
    assert (values(tmp_path / "fixed" / NAME) == sound).all()


@pytest.mark.parametrize("name", WHOLE)
def test_what_check_proposes_gives_back_every_pixel(dataset, tmp_path, name):
    repair, spoil = WHOLE[name]
    sound = {path.relative_to(dataset): values(path) for path in all_labels(dataset)}
    spoil(dataset)
    assert check_dataset(dataset, dataset_classes(dataset)).repair.endswith(f"--repair {repair}")
    report = repair_dataset(ConvertConfig(dataset, tmp_path / "fixed", repair=repair))
    assert not report.after.findings
    for path, expected in sound.items():
        assert (values(tmp_path / "fixed" / path) == expected).all()


def test_black_and_white_jpeg_masks_of_two_classes_are_mended(dataset, tmp_path):
    write_classes(dataset / "classes.yaml", class_table(["background", "thing"]))
    sound = {path.relative_to(dataset): values(path) == 1 for path in all_labels(dataset)}
    each(dataset, lambda v: compressed((v == 1) * 255))
    report = repair_dataset(ConvertConfig(dataset, tmp_path / "fixed", repair="nearest"))
    assert not report.after.errors
    for path, expected in sound.items():
        assert (values(tmp_path / "fixed" / path) == expected).all()


def large_values(dataset, size):
    """Values beyond a byte, of which some would be class ids without their upper bits."""
    path = dataset / NAME
    Image.fromarray(values(path).astype(np.uint16) + 256).resize(size, Image.Resampling.NEAREST).save(path)


@pytest.mark.parametrize("repair", ["size", "shift"])
def test_values_beyond_a_byte_are_not_cut(dataset, tmp_path, repair):
    if repair == "shift":
        from_1(dataset)
    large_values(dataset, (192, 144) if repair == "size" else (96, 72))
    config = ConvertConfig(dataset, tmp_path / "fixed", repair=repair)
    if repair == "size":
        with pytest.raises(UserError, match="would change nothing"):
            repair_dataset(config)
    else:
        repair_dataset(config)
        assert values(tmp_path / "fixed" / NAME).min() >= 256


@pytest.mark.parametrize("repair", ["format", "nearest", "shift", "size", "colors", "binary", "orientation"])
def test_negative_values_do_not_become_classes(dataset, tmp_path, repair):
    """-32768, a GIS file's "no data", is 0 in the lower byte, and -1 is 255."""
    spoilt = (dataset / NAME).with_suffix(".tif")
    Image.fromarray(np.where(values(dataset / NAME) == 1, -32768, -1).astype(np.int32)).save(spoilt)
    (dataset / NAME).unlink()
    if repair == "shift":
        from_1(dataset)
        repair_dataset(ConvertConfig(dataset, tmp_path / "fixed", repair=repair))
        assert (tmp_path / "fixed" / "train" / "Labels" / spoilt.name).read_bytes() == spoilt.read_bytes()
        return
    with pytest.raises(UserError, match="would change nothing"):
        repair_dataset(ConvertConfig(dataset, tmp_path / "fixed", repair=repair))


UNCLEAR = {
    "ids in JPEG": lambda d: each(d, lambda v: compressed(v * 3)),
    "black and white of three classes": lambda d: each(d, lambda v: compressed((v == 1) * 255)),
    "uneven steps": lambda d: each(d, lambda v: np.array([0, 100, 200], np.uint8)[v]),
    "noise": lambda d: each(d, lambda v: np.random.default_rng(0).integers(0, 256, v.shape)),
    "colours of no class": lambda d: each(d, lambda v: np.array([[0, 0, 0], [128, 0, 0], [0, 128, 0]], np.uint8)[v]),
}


@pytest.mark.parametrize("name", UNCLEAR)
def test_nothing_is_guessed(dataset, tmp_path, name):
    UNCLEAR[name](dataset)
    report = check_dataset(dataset, dataset_classes(dataset))
    assert report.errors
    assert not report.repair
    with pytest.raises(UserError, match="would change nothing"):
        repair_dataset(ConvertConfig(dataset, tmp_path / "fixed", repair="nearest"))


def test_files_of_one_name_all_stay(dataset, tmp_path):
    picture = dataset / "train" / "Images" / "000.jpg"
    shutil.copy(picture, picture.with_suffix(".webp"))
    larger(dataset)
    repair_dataset(ConvertConfig(dataset, tmp_path / "fixed", repair="size"))
    assert len(list((tmp_path / "fixed" / "train" / "Images").glob("000.*"))) == 2


SPOILT = {
    "format: other suffix": (
        "format",
        lambda d: (Image.open(d / NAME).save(d / "train/Labels/000.bmp"), (d / NAME).unlink()),
    ),
    "format: 16 bits": ("format", wide),
    "colors": ("colors", lambda d: save(d / NAME, palette(d)[values(d / NAME)])),
    "nearest: colours": ("nearest", smeared),
    "nearest: spread grey": ("nearest", lambda d: save(d / NAME, values(d / NAME) * 127)),
    "shift": ("shift", from_1),
    "orientation": ("orientation", turned),
    "size": ("size", larger),
}


@pytest.mark.parametrize("name", SPOILT)
def test_labels_come_back_as_they_were(dataset, tmp_path, name):
    repair, spoil = SPOILT[name]
    sound = {path.relative_to(dataset): values(path) for path in all_labels(dataset)}
    spoil(dataset)
    assert check_dataset(dataset, dataset_classes(dataset)).errors
    report = repair_dataset(ConvertConfig(dataset, tmp_path / "fixed", repair=repair))
    assert not report.after.errors
    assert report.changed[repair] == (9 if repair == "shift" else 1)
    for path, expected in sound.items():
        assert (values(tmp_path / "fixed" / path) == expected).all()


def test_shift_leaves_what_never_counts(dataset, tmp_path):
    expected = values(dataset / NAME).copy()
    expected[:6] = 255
    from_1(dataset)
    spoilt = values(dataset / NAME).copy()
    spoilt[:3], spoilt[3:6] = 0, 255
    save(dataset / NAME, spoilt)
    repair_dataset(ConvertConfig(dataset, tmp_path / "fixed", repair="shift"))
    assert (values(tmp_path / "fixed" / NAME) == expected).all()


def test_shift_is_refused_where_the_value_above_the_classes_is_ignored(dataset, tmp_path):
    from_1(dataset)
    with pytest.raises(UserError, match="fits classes that are numbered from 1"):
        repair_dataset(ConvertConfig(dataset, tmp_path / "fixed", repair="shift", ignore_value=3))


def test_masks_of_0_and_255_become_0_and_1(dataset, tmp_path):
    is_wall = values(dataset / NAME) == 1
    for path in all_labels(dataset):
        save(path, np.where(values(path) == 1, 255, 0))
    repair_dataset(ConvertConfig(dataset, tmp_path / "fixed", repair="binary"))
    assert (values(tmp_path / "fixed" / NAME) == is_wall).all()


def test_ids_that_jpeg_mixed_are_left(dataset, tmp_path):
    as_jpeg(dataset)
    with pytest.raises(UserError, match="would change nothing"):
        repair_dataset(ConvertConfig(dataset, tmp_path / "fixed", repair="nearest"))


def test_broken_and_lonely_files_are_dropped(dataset, tmp_path):
    (dataset / "train" / "Labels" / "000.png").unlink()
    (dataset / "train" / "Images" / "001.jpg").unlink()
    picture = dataset / "train" / "Images" / "002.jpg"
    picture.write_bytes(picture.read_bytes()[:300])
    (dataset / "train" / "Labels" / "003.png").write_bytes(b"broken")
    report = repair_dataset(ConvertConfig(dataset, tmp_path / "fixed", repair="drop"))
    assert report.changed == {"drop": 6}
    assert [path.name for path in sorted((tmp_path / "fixed/train/Images").iterdir())] == ["004.jpg", "005.jpg"]


def test_a_missing_folder_is_told_as_that(dataset, tmp_path):
    shutil.rmtree(dataset / "val" / "Labels")
    with pytest.raises(UserError, match=r"val/Labels is missing"):
        repair_dataset(ConvertConfig(dataset, tmp_path / "fixed", repair="drop"))


def test_copies_across_splits_leave_train(dataset, tmp_path):
    shutil.copy(dataset / "train" / "Images" / "000.jpg", dataset / "val" / "Images" / "100.jpg")
    report = repair_dataset(ConvertConfig(dataset, tmp_path / "fixed", repair="duplicates"))
    assert not report.after.findings
    assert not (tmp_path / "fixed" / "train" / "Images" / "000.jpg").exists()
    assert (tmp_path / "fixed" / "val" / "Images" / "100.jpg").exists()


def test_copies_stay_in_the_split_that_is_scored_last(dataset, tmp_path):
    for kind, suffix in (("Images", "jpg"), ("Labels", "png")):
        (dataset / "test" / kind).mkdir(parents=True)
        for split, name in (("train", "000"), ("val", "100")):
            shutil.copy(dataset / split / kind / f"{name}.{suffix}", dataset / "test" / kind / f"{name}.{suffix}")
    assert check_dataset(dataset, dataset_classes(dataset)).repair.endswith("--repair duplicates")
    report = repair_dataset(ConvertConfig(dataset, tmp_path / "fixed", repair="duplicates"))
    assert report.changed == {"duplicates": 2}
    left = [(tmp_path / "fixed" / path).exists() for path in ("train/Images/000.jpg", "val/Images/100.jpg")]
    assert left == [False, False]
    assert len(list((tmp_path / "fixed" / "test" / "Images").iterdir())) == 2


def test_what_only_looks_alike_is_not_dropped(dataset, tmp_path):
    for kind, name, suffix in (("Images", "MU\u0308LLER", "jpg"), ("Labels", "M\u00fcller", "png")):
        folder = dataset / "train" / kind
        (folder / f"000.{suffix}").rename(folder / f"{name}.{suffix}")
    (dataset / "train" / "Labels" / "001.png").unlink()
    report = repair_dataset(ConvertConfig(dataset, tmp_path / "fixed", repair="drop"))
    assert report.changed == {"drop": 1}
    kept = {path.name for path in (tmp_path / "fixed" / "train").rglob("*.*")}
    assert {"MU\u0308LLER.jpg", "M\u00fcller.png"} <= kept
    assert "001.jpg" not in kept


def test_classes_from_1_are_shifted_whatever_the_case_of_the_suffix(dataset, tmp_path):
    from_1(dataset)
    for path in all_labels(dataset):
        path.rename(path.with_suffix(".PNG"))
    report = repair_dataset(ConvertConfig(dataset, tmp_path / "fixed", repair="shift"))
    assert not report.after.errors


def test_label_images_with_an_alpha_channel_become_plain(dataset, tmp_path):
    sound = values(dataset / NAME)
    Image.fromarray(sound).convert("LA").save(dataset / NAME)
    assert check_dataset(dataset, dataset_classes(dataset)).repair.endswith("--repair format")
    report = repair_dataset(ConvertConfig(dataset, tmp_path / "fixed", repair="format"))
    assert not report.after.findings
    assert (values(tmp_path / "fixed" / NAME) == sound).all()


def test_the_original_is_not_changed(dataset, tmp_path):
    from_1(dataset)
    before = {path: hashlib.sha256(path.read_bytes()).digest() for path in dataset.rglob("*.*")}
    repair_dataset(ConvertConfig(dataset, tmp_path / "fixed", repair="shift"))
    assert {path: hashlib.sha256(path.read_bytes()).digest() for path in dataset.rglob("*.*")} == before


@pytest.mark.parametrize(
    ("repair", "message"),
    [
        ("shfit", "(?s)no repair.*Did you mean shift.*drop: leaves out"),
        (",", "names no repair"),
        ("size", "would change nothing"),
        ("shift", "numbered from 1; those of"),
    ],
)
def test_wrong_repairs_are_refused(dataset, tmp_path, repair, message):
    with pytest.raises(UserError, match=message):
        repair_dataset(ConvertConfig(dataset, tmp_path / "fixed", repair=repair))
    assert not (tmp_path / "fixed").exists()


def test_used_target_is_left_alone(dataset, tmp_path):
    (tmp_path / "fixed").mkdir()
    (tmp_path / "fixed" / "mine.txt").touch()
    with pytest.raises(UserError, match="not empty"):
        repair_dataset(ConvertConfig(dataset, tmp_path / "fixed", repair="drop"))


def test_the_proposed_command_mends_everything(dataset, capsys):
    SPOILT["colors"][1](dataset)
    turned_path = dataset / "train" / "Labels" / "001.png"
    Image.open(turned_path).resize((48, 36), Image.Resampling.NEAREST).save(turned_path)
    command = check_dataset(dataset, dataset_classes(dataset)).repair
    assert main(command.split()[1:]) == 0
    assert "Nothing wrong was found" in capsys.readouterr().out


def test_a_repair_that_leaves_errors_says_so(dataset, tmp_path, capsys):
    (dataset / "train" / "Labels" / "000.png").unlink()
    Image.new("L", (50, 50)).save(dataset / "train" / "Labels" / "001.png")
    assert main(["convert", str(dataset), str(tmp_path / "d"), "--repair", "drop"]) == 1
    told = capsys.readouterr()
    assert "Errors are left" in told.err
    assert "segtune train" not in told.out


def test_one_call_converts_and_repairs(dataset, tmp_path):
    (dataset / "train" / "Labels" / "000.png").unlink()
    report = segtune.convert(ConvertConfig(dataset, tmp_path / "d", repair="drop"))
    assert report.changed == {"drop": 1}
    assert not report.after.errors


def test_options_that_a_repair_does_not_follow_are_refused(dataset, tmp_path):
    with pytest.raises(UserError, match=r"--classes, --val-fraction would say"):
        segtune.convert(ConvertConfig(dataset, tmp_path / "d", repair="drop", classes="a", val_fraction=0.5))
