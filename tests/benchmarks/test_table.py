"""The table of the benchmarks' page."""

import json
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import record  # noqa: E402
import table  # noqa: E402

MEASURED = {"date": "2026-11-29", "machine": {"cpus": 2}}


def test_the_page_has_the_figures_that_are_in_the_results():
    page = table.README.read_text()
    assert table.written(page) == page


def test_a_figure_stands_beside_its_limit(tmp_path):
    formats = {"channels_last": 1.5, "channels_first": 3.0, "ratio": 2.0}
    start = {"import_torch": 2.0, "first_step_done": 8.0}
    camvid = {"pipeline_seconds": 1.25, "bare_seconds": 1.0, "ratio": 0.8}
    figures = {"start": start, "memory formats": formats, "camvid": camvid, "measured": MEASURED}
    (tmp_path / "a.json").write_text(json.dumps({"training": figures}))
    *lines, _, files = table.table(tmp_path).splitlines()
    assert files == "Figures, versions and commands: `results/a.json`."
    rows = [line.split(" | ") for line in lines[2:]]
    assert {cells[4] for cells in rows} == {"2026-11-29 |"}
    assert [cells[1:4] for cells in rows] == [
        ["1.25 s", "on a batch in memory: 1 s", "0.80"],
        ["1.5 s", "channels first: 3 s", "2.00"],
        ["8 s", "importing torch: 2 s", "0.25"],
    ]


def test_figures_of_a_later_day_replace_those_of_their_name_alone(tmp_path):
    for file, day, kills, cpus in (("a", "2026-11-30", 3, 2), ("b", "2026-11-29", 2, 2), ("c", "2026-11-28", 1, 64)):
        resume = {"same": 1, "runs": [{}], "kills": kills, "measured": {"date": day, "machine": {"cpus": cpus}}}
        (tmp_path / f"{file}.json").write_text(json.dumps({"resume": resume}))
    formats = {"channels_last": 1.5, "channels_first": 3.0, "ratio": 2.0}
    start = {"import_torch": 2.0, "first_step_done": 8.0}
    figures = {"start": start, "memory formats": formats, "measured": MEASURED}
    record.write(tmp_path / "b.json", {**json.loads((tmp_path / "b.json").read_text()), "training": figures})
    text = table.table(tmp_path)
    assert "| 3 kills |  | 2026-11-30 |" in text
    assert "2 kills" not in text
    assert "1 kills" not in text  # of another machine, none of whose figures is shown
    assert "c.json" not in text
    assert "| 2.00 | 2026-11-29 |" in text


def test_a_script_adds_its_figures_to_a_file(tmp_path):
    path = tmp_path / "results" / "a.json"
    for name, seconds in (("training", 1), ("resume", 2), ("training", 3)):
        record.record(path, name, {"seconds": seconds})
    figures = json.loads(path.read_text())
    assert {name: figures[name]["seconds"] for name in figures} == {"training": 3, "resume": 2}
    assert figures["resume"]["measured"]["date"] == record.today()


def test_a_page_without_marks_is_refused():
    with pytest.raises(SystemExit, match="has no lines"):
        table.with_text("nothing", "figures", "a table")
