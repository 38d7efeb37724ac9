"""What is to be known of a training before it begins."""

import shutil
from pathlib import Path

import pytest
from PIL import Image

from segtune.annotations.check import check_dataset
from segtune.annotations.dataset_folder import dataset_classes
from segtune.classes import IGNORE, class_table, write_classes
from segtune.config import TrainConfig
from segtune.models.pretrained import WeightsReport
from segtune.training.notes import notes
from segtune.training.plan import Facts, make_plan

WEIGHTS = WeightsReport("a file", "MIT", ("a",), ())


@pytest.mark.parametrize(
    ("batch_size", "world_size", "batch_norm", "told"),
    [
        (1, 1, "train", ""),
        (8, 2, "train", ""),
        (16, 16, "train", "16 pictures each of 16 processes has 1, which should be 4 or more"),
        (16, 16, "sync", ""),
        (2, 4, "sync", "has 0.5, which should be 1 or more"),
    ],
)
def test_small_shares_of_a_batch_are_told(dataset, batch_size, world_size, batch_norm, told):
    config = TrainConfig(Path("d"), Path("r"), batch_size=batch_size, batch_norm=batch_norm)
    plan = make_plan(config, Facts(3, 99, (9, 9, 9), "cpu", 2, world_size=world_size))
    table = dataset_classes(dataset)
    found = " ".join(notes(plan, table, check_dataset(dataset, table), WEIGHTS, False))
    assert ("raise --batch-size" in found) == bool(told)
    assert told in found


def told(dataset, num_classes=None, **options):
    """The notes of a training on a dataset."""
    table = dataset_classes(dataset, num_classes)
    report = check_dataset(dataset, table)
    sizes = report.splits["train"].sizes
    facts = Facts(table.num_classes, 9, (9,) * table.num_classes, "cpu", 2, sizes=sizes)
    plan = make_plan(TrainConfig(Path("d"), Path("r"), **options), facts)
    return "\n".join(notes(plan, table, report, WEIGHTS))


@pytest.mark.parametrize(
    ("names", "options", "expected"),
    [
        (["road", "Left lane", "Right lane"], {}, "of Left lane and Right lane"),
        (["road", "Left lane", "Right lane"], {"flip_horizontal": 0.0}, ""),
        (["road", "left", "right turn"], {}, ""),
    ],
)
def test_classes_that_mirroring_exchanges_are_told(dataset, names, options, expected):
    write_classes(dataset / "classes.yaml", class_table(names))
    found = told(dataset, **options)
    assert expected in found
    assert ("--flip-horizontal 0" in found) == bool(expected)


@pytest.mark.parametrize(("factor", "is_told"), [(8, False), (14, True)])
def test_how_much_smaller_the_network_sees_the_pictures_is_told(dataset, factor, is_told):
    """The labels' smallest areas are large, so that thin things alone are lost."""
    for path in [*dataset.glob("*/Images/*"), *dataset.glob("*/Labels/*")]:
        picture = Image.open(path)
        picture.resize((96 * factor, 72 * factor), Image.Resampling.NEAREST).save(path)
    found = told(dataset)
    assert ("2.6 times smaller (512 px): lines of less than 5 pixels" in found) == is_told
    assert ("times smaller" in found) == is_told


def test_warnings_of_a_kind_are_told_in_short(dataset):
    for place in range(20, 40):
        shutil.copy(dataset / "train" / "Images" / "000.jpg", dataset / "train" / "Images" / f"{place}.jpg")
        Image.new("L", (96, 72), IGNORE).save(dataset / "train" / "Labels" / f"{place}.png")
    assert "(and 10 more like this; segtune check --json lists all)" in told(dataset)
