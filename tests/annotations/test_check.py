"""Everything that is wrong with a dataset, found at once."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segtune.annotations.check import check_dataset
from segtune.annotations.dataset_folder import dataset_classes
from segtune.annotations.findings import Finding, repair_command
from segtune.classes import IGNORE, class_table, numbered_classes, write_classes
from segtune.cli import main
from segtune.errors import DataError
from segtune.pictures import read_labels, write_labels


def labels(path, values):
    Image.fromarray(np.asarray(values, np.uint8)).save(path)


def rgb_labels(path):
    Image.new("RGB", (96, 72), (255, 0, 0)).save(path)


def cut(path):
    path.write_bytes(path.read_bytes()[:-300])


def resaved(path, suffix):
    Image.open(path).save(path.with_suffix(suffix))
    path.unlink()


def cut_short(path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2] + bytes(2000))


def jpeg_inside(path):
    Image.open(path).save(path, "JPEG", quality=60)


def filled(value):
    area = np.zeros((72, 96), np.uint8)
    area[:2, :3] = value
    return area


SPOILT = {
    "value outside": (
        "Labels/000.png",
        lambda path: labels(path, filled(7)),
        r"value 7 \(6 pixels\).*--ignore-value 7",
    ),
    "grey levels": (
        "Labels/000.png",
        lambda path: labels(path, np.arange(72 * 96).reshape(72, 96) % 250),
        "look like grey levels",
    ),
    "other size": (
        "Labels/000.png",
        lambda path: labels(path, np.zeros((72, 95))),
        "95 x 72 pixels, its picture 96 x 72",
    ),
    "turned": ("Labels/000.png", lambda path: labels(path, np.zeros((96, 72))), "EXIF orientation"),
    "colours": ("Labels/000.png", rgb_labels, r"3 channels with the colours \(255, 0, 0\)"),
    "truncated picture": ("Images/000.jpg", cut, "truncated"),
    "empty picture": ("Images/000.jpg", lambda path: path.write_bytes(b""), "not a picture"),
    "broken labels": ("Labels/000.png", lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n"), "can't be|not a picture"),
    "no labels": ("Labels/000.png", lambda path: path.unlink(), "has no label image"),
    "no picture": ("Images/000.jpg", lambda path: path.unlink(), "has no picture"),
    "16 bits": ("Labels/000.png", lambda path: Image.fromarray(np.ones((72, 96), np.uint16)).save(path), "mode I;16"),
    "JPEG labels": ("Labels/000.png", lambda path: resaved(path, ".jpg"), "JPEG changes values"),
    "bitmap labels": ("Labels/000.png", lambda path: resaved(path, ".bmp"), "label images are PNG files"),
    "cut short": ("Images/000.jpg", cut_short, "only zeros"),
    "equal channels": ("Labels/000.png", lambda path: Image.open(path).convert("RGB").save(path), "3 channels"),
    "many bits": ("Labels/000.png", lambda path: Image.fromarray(filled(1) * np.uint16(900)).save(path), "mode I;16"),
    "JPEG inside": ("Labels/000.png", jpeg_inside, "a JPEG inside"),
    "same name": ("Images/000.jpg", lambda path: shutil.copy(path, path.with_suffix(".webp")), "but for the suffix"),
}

REPAIRS = {
    "other size": "", "turned": "", "colours": "", "truncated picture": "drop", "cut short": "drop",
    "empty picture": "drop", "broken labels": "drop", "no labels": "drop", "no picture": "drop", "16 bits": "format",
    "JPEG labels": "", "bitmap labels": "format", "same name": "", "grey levels": "", "value outside": "",
    "equal channels": "format", "many bits": "", "JPEG inside": "",
}  # fmt: skip
"""Empty where it can't be told what the labels were: a repair that guesses makes sound-looking, wrong labels."""


def test_sound_dataset_has_no_errors_and_right_facts(dataset):
    report = check_dataset(dataset, dataset_classes(dataset))
    assert not report.errors
    assert not report.warnings
    assert report.splits["train"].num_pictures == 6
    assert report.splits["train"].pixels.sum() == 6 * 72 * 96
    assert report.splits["val"].sizes == {(72, 96): 3}


@pytest.mark.parametrize("name", SPOILT)
def test_error_is_told_with_its_file(dataset, name):
    file, spoil, message = SPOILT[name]
    spoil(dataset / "train" / file)
    with pytest.raises(DataError, match=message):
        check_dataset(dataset, dataset_classes(dataset)).raise_for_errors()


@pytest.mark.parametrize("name", SPOILT)
def test_repair_is_proposed(dataset, name):
    file, spoil, _ = SPOILT[name]
    spoil(dataset / "train" / file)
    report = check_dataset(dataset, dataset_classes(dataset))
    errors = [finding for finding in report.findings if finding.severity == "error"]
    assert {error.repair for error in errors} == {REPAIRS[name]}
    assert report.repair == (
        f"segtune convert {dataset} {dataset}_repaired --repair {REPAIRS[name]}" if REPAIRS[name] else ""
    )


def test_errors_of_all_files_are_told_together(dataset):
    for file, spoil, _ in list(SPOILT.values())[:2]:
        spoil(dataset / "train" / file)
        spoil(dataset / "val" / file.replace("000", "100"))
    assert len(check_dataset(dataset, dataset_classes(dataset)).errors) == 2


def test_0_and_255_masks_are_recognised(dataset):
    for path in dataset.glob("*/Labels/*.png"):
        labels(path, filled(255))
    report = check_dataset(dataset, dataset_classes(dataset))
    assert [error for error in report.errors if "save it as 1" in error]


def test_pictures_to_score_alone_may_have_class_0_and_ignored_borders_alone(dataset):
    for path in dataset.glob("val/Labels/*.png"):
        labels(path, filled(255))
    for splits, severities in ((["val"], {"warning"}), (["train", "val"], set())):
        findings = check_dataset(dataset, dataset_classes(dataset), splits).findings
        assert {finding.severity for finding in findings if finding.kind == "binary-labels"} == severities
        assert not [finding for finding in findings if finding.severity == "error"]


@pytest.mark.parametrize(("divisor", "is_told"), [(255, True), (1, False)])
def test_grey_pictures_that_would_not_look_alike_are_an_error(dataset, divisor, is_told):
    for index, path in enumerate(sorted(dataset.glob("*/Images/*.jpg"))):
        grey = np.asarray(Image.open(path).convert("L")).astype(np.float32) * (index != 3)  # which is black
        Image.fromarray(grey / (divisor if index == 4 else 1)).save(path.with_suffix(".tiff"))
        path.unlink()
    errors = [error for error in check_dataset(dataset, dataset_classes(dataset)).errors if "several ranges" in error]
    assert [error for error in errors if "(0 to 1)" in error and "(0 to 255)" in error] == errors
    assert bool(errors) == is_told


def test_0_and_255_masks_are_told_beside_other_errors(dataset):
    for path in dataset.glob("*/Labels/*.png"):
        labels(path, filled(255))
    (dataset / "train" / "Images" / "000.jpg").write_bytes(b"")
    assert check_dataset(dataset, dataset_classes(dataset)).repair.endswith("--repair drop,binary")


def test_without_classes_masks_of_0_and_255_have_two(dataset, capsys):
    for path in dataset.glob("*/Labels/*.png"):
        labels(path, filled(255))
    (dataset / "classes.yaml").unlink()
    assert main(["check", str(dataset)]) == 2
    assert "probably --num-classes 2" in capsys.readouterr().err


def test_palette_in_another_order_is_a_warning(dataset):
    path = dataset / "train" / "Labels" / "000.png"
    picture = Image.open(path)
    picture.putpalette(dataset_classes(dataset).palette[[2, 0, 1]].tobytes())
    picture.save(path)
    (finding,) = check_dataset(dataset, dataset_classes(dataset)).findings
    assert (finding.kind, finding.repair) == ("palette-order", "colors")


def test_what_may_be_a_white_class_is_not_repaired(dataset):
    """255 is what never counts, or, as the other grey levels say, the white class: nobody knows."""
    table = replace(dataset_classes(dataset), colors=((0, 0, 0), (128, 128, 128), (255, 255, 255)))
    write_classes(dataset / "classes.yaml", table)
    for path in dataset.glob("*/Labels/*.png"):
        picture = Image.fromarray(np.array([0, 128, 255], np.uint8)[read_labels(path)])
        picture.putpalette([value for value in range(256) for _ in range(3)])
        picture.save(path)
    assert "colors" not in {finding.repair for finding in check_dataset(dataset, dataset_classes(dataset)).findings}


@pytest.mark.parametrize(
    ("low", "high", "told"),
    [
        (3075, 5175, "sees 9 shades"),
        (0, 4095, "sees 16 shades"),
        (29_000, 31_000, "sees 8 shades"),
        (0, 65535, ""),
        (3000, 60_000, ""),
    ],
)
def test_grey_pictures_that_use_little_of_their_16_bits_are_told_once(dataset, low, high, told):
    for path in dataset.glob("*/Images/*.jpg"):
        grey = np.asarray(Image.open(path).convert("L")).astype(np.float32)
        scaled = (low + (grey - grey.min()) * ((high - low) / np.ptp(grey))).astype(np.uint16)
        scaled[36, 48] = 65535  # a hot pixel
        suffix = ".tiff" if low == 3075 else ".png"  # of floats
        Image.fromarray(scaled.astype(np.float32 if suffix == ".tiff" else np.uint16)).save(path.with_suffix(suffix))
        path.unlink()
    messages = [finding.message for finding in check_dataset(dataset, dataset_classes(dataset)).findings]
    assert len(messages) == bool(told)
    assert told in "".join(messages)


def test_ignored_pixels_are_no_class_though_one_has_their_color(dataset):
    table = replace(dataset_classes(dataset), colors=((255, 255, 255), (1, 1, 1), (2, 2, 2)))
    write_classes(dataset / "classes.yaml", table)
    for path in sorted(dataset.glob("*/Labels/*.png")):
        values = read_labels(path)
        values[:9] = IGNORE
        write_labels(path, values, table)
    assert check_dataset(dataset, dataset_classes(dataset)).findings == []


def test_the_command_that_is_told_works_without_names_of_classes(dataset, capsys):
    (dataset / "classes.yaml").unlink()
    for path in dataset.glob("*/Labels/*.png"):
        labels(path, np.where(read_labels(path) == 2, 11, read_labels(path)))
    (dataset / "train" / "Labels" / "000.png").unlink()
    assert main(["check", str(dataset), "--num-classes", "2", "--ignore-value", "11"]) == 2
    command = re.search(r"segtune (convert [^:]* --ignore-value 11)", " ".join(capsys.readouterr().out.split()))[1]
    assert command.endswith("--repair drop --num-classes 2 --ignore-value 11")
    assert main(shlex.split(command)) == 0
    assert main(["check", str(dataset)]) == 2
    assert "probably --num-classes" in capsys.readouterr().err


def test_names_can_not_command_the_terminal(dataset, capsys):
    (dataset / "train" / "Images" / "a\x1b[31m\nb.jpg").write_bytes(b"")
    assert main(["check", str(dataset)]) == 2
    assert r"a\x1b[31m\nb.jpg" in capsys.readouterr().out
    with pytest.raises(DataError) as error:
        check_dataset(dataset, dataset_classes(dataset)).raise_for_errors()
    assert "\x1b" not in str(error.value)


def test_thousands_of_errors_are_told_in_short(dataset):
    for index in range(300):
        (dataset / "train" / "Images" / f"x{index}.jpg").write_bytes(b"")
    with pytest.raises(DataError, match="and 290 more like this") as error:
        check_dataset(dataset, dataset_classes(dataset)).raise_for_errors()
    assert len(str(error.value).splitlines()) < 20


def test_split_without_labels_is_an_error(dataset):
    for path in dataset.glob("val/Labels/*.png"):
        labels(path, np.full((72, 96), 255))
    assert check_dataset(dataset, dataset_classes(dataset)).errors == ["no pixel of val carries a label"]


def test_picture_in_both_splits_is_a_warning(dataset):
    shutil.copy(dataset / "train" / "Images" / "000.jpg", dataset / "val" / "Images" / "100.jpg")
    assert "same picture is in train and val" in check_dataset(dataset, dataset_classes(dataset)).warnings[0]


def test_ignored_values_are_no_error(dataset):
    labels(dataset / "train" / "Labels" / "000.png", filled(7))
    assert not check_dataset(dataset, dataset_classes(dataset, None, 7)).errors


def test_absent_class_is_a_warning(dataset):
    assert check_dataset(dataset, numbered_classes(4)).warnings == [
        "no pixel of train has the class class_3: there is nothing to learn it from; add pictures that show it; if"
        " other objects cover it, convert again with --paint-order",
        "no pixel of val has the class class_3: there is nothing to score it by; add pictures that show it, or convert"
        " again with a larger --val-fraction; if other objects cover it, with --paint-order",
    ]


def test_an_absent_background_is_told_apart_from_absent_classes(dataset):
    table = replace(numbered_classes(5), names=("sky", "ground", "box", "background", "fox"))
    told = check_dataset(dataset, table, ["train"]).warnings
    assert [warning.split(": ")[0] for warning in told] == [
        "no pixel of train has the class fox",
        "no pixel of train has the class background",
    ]


def test_background_that_nothing_shows_needs_no_pictures(dataset):
    table = replace(numbered_classes(4), names=("sky", "ground", "box", "background"))
    assert check_dataset(dataset, table).warnings == [
        f"no pixel of {split} has the class background: that is well where objects cover all of each picture"
        for split in ("train", "val")
    ]


def test_exif_orientation_is_taken_into_account(dataset):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (72, 96)).save(dataset / "train" / "Images" / "000.jpg", exif=exif)
    assert not check_dataset(dataset, dataset_classes(dataset)).errors


def test_fingerprint_follows_the_content(dataset):
    table = dataset_classes(dataset)
    before = check_dataset(dataset, table).fingerprint
    assert check_dataset(dataset, table).fingerprint == before
    labels(dataset / "train" / "Labels" / "000.png", filled(1))
    assert check_dataset(dataset, table).fingerprint != before


def test_classes_numbered_from_1_are_recognised(dataset):
    for path in dataset.glob("*/Labels/*.png"):
        labels(path, np.asarray(Image.open(path)) + 1)
    (finding,) = check_dataset(dataset, dataset_classes(dataset)).findings
    assert (finding.kind, finding.repair) == ("off-by-one", "shift")


def test_one_value_more_than_classes_is_told_once(dataset):
    for path in dataset.glob("*/Labels/*.png"):
        values = np.asarray(Image.open(path)) + 1
        values[:3] = 0
        labels(path, values)
    (finding,) = check_dataset(dataset, dataset_classes(dataset)).findings
    assert len(finding.files) == 9
    assert "and 6 more hold the value 3" in finding.message
    assert finding.message.endswith("--repair shift")
    write_classes(dataset / "classes.yaml", class_table(["background", "wall", "box"]))
    (finding,) = check_dataset(dataset, dataset_classes(dataset)).findings
    assert finding.message.endswith("--ignore-value 3")


def test_classes_numbered_from_1_are_told_once_whatever_their_palette(dataset):
    for path in dataset.glob("*/Labels/*.png"):
        picture = Image.fromarray(np.asarray(Image.open(path)) + 1)
        picture.putpalette(dataset_classes(dataset).palette[[9, 0, 1, 2]].tobytes())
        picture.save(path)
    (finding,) = check_dataset(dataset, dataset_classes(dataset)).findings
    assert finding.kind == "off-by-one"


@pytest.mark.parametrize(
    ("dataset", "target"),
    [
        ("data/set", "data/set_repaired"),
        ("my set", "'my set_repaired'"),
        (".", "{here}_repaired"),
        ("..", "{up}_repaired"),
    ],
)
def test_the_command_that_repairs_names_a_folder_of_its_own(dataset, target, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command = repair_command(Path(dataset), [Finding("error", "unpaired", "x", repair="drop")])
    assert command.split(" --repair")[0].endswith(f" {target.format(here=tmp_path, up=tmp_path.parent)}")


def test_doubtful_pictures_are_warned_of(dataset):
    labels(dataset / "train" / "Labels" / "000.png", np.zeros((72, 96)))
    labels(dataset / "train" / "Labels" / "001.png", np.full((72, 96), 255))
    shutil.copy(dataset / "train" / "Images" / "002.jpg", dataset / "train" / "Images" / "003.jpg")
    Image.new("RGB", (20, 20)).save(dataset / "val" / "Images" / "100.jpg")
    labels(dataset / "val" / "Labels" / "100.png", np.ones((20, 20)))
    kinds = {finding.kind for finding in check_dataset(dataset, dataset_classes(dataset)).findings}
    assert kinds == {"only-class-0", "unlabelled-picture", "same-picture-other-labels", "tiny-picture"}


def test_pixels_of_the_ignored_value_are_no_labels(dataset):
    labels(dataset / "train" / "Labels" / "000.png", np.minimum(np.indices((72, 96))[0], 1) * 11)
    labels(dataset / "train" / "Labels" / "001.png", np.full((72, 96), 11))
    kinds = {finding.kind for finding in check_dataset(dataset, dataset_classes(dataset, ignore_value=11)).findings}
    assert kinds == {"only-class-0", "unlabelled-picture"}


def test_rare_classes_are_warned_of(dataset):
    for path in dataset.glob("*/Labels/*.png"):
        values = np.minimum(np.asarray(Image.open(path)), 1)
        values[0, 0] = 2
        labels(path, values)
    report = check_dataset(dataset, dataset_classes(dataset))
    assert [finding.kind for finding in report.findings] == ["rare-class", "rare-class"]
    assert "box (0.014%)" in report.warnings[0]


def test_class_in_a_single_picture_is_warned_of(dataset):
    for path in sorted(dataset.glob("train/Labels/*.png"))[1:]:
        labels(path, np.minimum(np.asarray(Image.open(path)), 1))
    (finding,) = check_dataset(dataset, dataset_classes(dataset)).findings
    assert finding.kind == "class-in-one-picture"
    assert "the class box" in finding.message


def test_a_test_split_is_checked_where_it_is(dataset):
    shutil.copytree(dataset / "val", dataset / "test")
    report = check_dataset(dataset, dataset_classes(dataset))
    assert report.splits["test"].num_pictures == 3
    assert {finding.kind for finding in report.findings} == {"same-picture-across-splits"}


def test_pictures_that_look_the_same_are_found_when_asked(dataset):
    picture = Image.open(dataset / "train" / "Images" / "000.jpg")
    brighter = picture.point(lambda value: min(255, int(value * 1.1)))
    brighter.save(dataset / "val" / "Images" / "100.jpg", quality=70)
    table = dataset_classes(dataset)
    assert not check_dataset(dataset, table).findings
    (finding,) = check_dataset(dataset, table, thorough=True).findings
    assert finding.files == ("train/Images/000.jpg", "val/Images/100.jpg")


@pytest.mark.parametrize(
    ("spoil", "options", "code"),
    [
        (None, [], 0),
        (None, ["--strict"], 0),
        ("absent class", [], 0),
        ("absent class", ["--strict"], 1),
        ("no labels", [], 2),
        ("no labels", ["--json"], 2),
    ],
)
def test_exit_codes(dataset, spoil, options, code, capsys):
    if spoil == "absent class":
        for path in dataset.glob("*/Labels/*.png"):
            labels(path, np.minimum(np.asarray(Image.open(path)), 1))
    elif spoil:
        (dataset / "train" / "Labels" / "000.png").unlink()
    assert main(["check", str(dataset), *options]) == code
    out = capsys.readouterr().out
    if "--json" in options:
        found = json.loads(out)
        assert found["findings"][0]["kind"] == "unpaired"
        assert found["findings"][0]["files"] == ["train/Images/000.jpg"]
    else:
        assert ("Error: " in out) == (code == 2)


def test_classes_keep_their_names_in_a_narrow_table_of_three_splits(dataset, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    shutil.copytree(dataset / "val", dataset / "test")
    check_dataset(dataset, dataset_classes(dataset)).render()
    shown = capsys.readouterr().out
    assert all(f" {index} │ {name} " in shown for index, name in enumerate(["floor", "wall", "box"]))


def test_many_findings_of_a_kind_are_told_in_short(dataset, capsys):
    for seed in range(20, 40):
        shutil.copy(dataset / "train" / "Images" / "000.jpg", dataset / "train" / "Images" / f"{seed}.jpg")
    check_dataset(dataset, dataset_classes(dataset)).render()
    assert "(and 10 more like this; segtune check --json lists all)" in capsys.readouterr().out


@pytest.mark.parametrize(("place", "told"), [("nothing", "There is no dataset folder"), ("train", "is not a dataset")])
def test_what_is_no_dataset_is_told(dataset, place, told, capsys):
    assert main(["check", str(dataset / place)]) == 2
    assert told in capsys.readouterr().err


def test_without_classes_the_number_is_asked_for(dataset, capsys):
    (dataset / "classes.yaml").unlink()
    assert main(["check", str(dataset)]) == 2
    assert "--num-classes 3" in capsys.readouterr().err
    assert main(["check", str(dataset), "--num-classes", "3"]) == 0


SMALL_MEMORY = """
import resource, sys
from pathlib import Path
from segtune.annotations.check import check_dataset
from segtune.cli import main

used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 150_000_000, -1))
sys.exit(main(["check", sys.argv[1]]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits the address space")
def test_memory_that_is_out_is_not_told_as_a_broken_file(dataset):
    Image.new("RGB", (9000, 9000)).save(dataset / "train" / "Images" / "000.png", compress_level=1)
    (dataset / "train" / "Images" / "000.jpg").unlink()
    words = [sys.executable, "-c", SMALL_MEMORY, str(dataset)]
    result = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (result.returncode, "emory is out" in result.stderr) == (2, True), result.stdout + result.stderr
    assert "drop" not in result.stdout + result.stderr
