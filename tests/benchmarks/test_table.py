"""The table of the benchmarks' page."""

import json
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import table  # noqa: E402


def test_the_page_has_the_figures_that_are_in_the_results():
    page = table.README.read_text()
    assert table.written(page) == page


def test_a_figure_stands_beside_its_limit(tmp_path):
    formats = {"channels_last": 1.5, "channels_first": 3.0, "ratio": 2.0}
    start = {"import_torch": 2.0, "first_step_done": 8.0}
    camvid = {"pipeline_seconds": 1.25, "bare_seconds": 1.0, "ratio": 0.8}
    figures = {"start": start, "memory formats": formats, "camvid": camvid, "measured": {"date": "2026-11-29"}}
    (tmp_path / "training.json").write_text(json.dumps(figures))
    rows = [line.split(" | ") for line in table.table(tmp_path).splitlines()[2:]]
    assert {cells[4] for cells in rows} == {"training.json, 2026-11-29 |"}
    assert [cells[1:4] for cells in rows] == [
        ["1.25 s", "on a batch in memory: 1 s", "0.80"],
        ["1.5 s", "channels first: 3 s", "2.00"],
        ["8 s", "importing torch: 2 s", "0.25"],
    ]


def test_a_page_without_marks_is_refused():
    with pytest.raises(SystemExit, match="has no lines"):
        table.with_text("nothing", "figures", "a table")
