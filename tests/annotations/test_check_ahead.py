"""The check in a process of its own says what the check says, and is no reason to wait or to fail."""

import json
import os
import subprocess
import sys

from segtune.annotations.check import check_dataset
from segtune.annotations.check_ahead import checked_ahead
from segtune.annotations.dataset_folder import dataset_classes

PROGRAM = """
import json, sys
from pathlib import Path
from segtune.annotations.check_ahead import checked_ahead
with checked_ahead(Path(sys.argv[1]), None, None) as check:
    report = check.report() if sys.argv[2] == "wait" else None
print(json.dumps(report and report.to_dict()))
"""


def run(dataset, how="wait"):
    """In a process without torch, as the command's is."""
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, dataset, how], capture_output=True, text=True, check=True, timeout=60
    )
    return json.loads(result.stdout)


def test_report_is_that_of_the_check(dataset):
    (dataset / "val" / "Labels" / "100.png").unlink()
    assert run(dataset) == check_dataset(dataset, dataset_classes(dataset)).to_dict()


def test_what_can_not_be_checked_gives_no_report(dataset, tmp_path):
    assert run(tmp_path / "nothing") is None
    (dataset / "classes.yaml").write_text("]")
    assert run(dataset) is None


def test_nobody_waits_for_a_check_that_is_not_asked_for(dataset):
    (dataset / "classes.yaml").unlink()
    os.mkfifo(dataset / "classes.yaml")  # who reads it waits for ever
    assert run(dataset, "leave") is None


def test_nothing_is_begun_beside_torch(dataset):
    import torch  # noqa: F401 - its threads forbid to fork

    with checked_ahead(dataset, None, None) as check:
        assert check.report() is None
