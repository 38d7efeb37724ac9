"""What is to be known of a training before it begins."""

from pathlib import Path

import pytest

from segtune.annotations.check import check_dataset
from segtune.annotations.dataset_folder import dataset_classes
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
