"""Each benchmark can be started: what it imports of the project is there."""

import importlib
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))


@pytest.mark.parametrize("path", sorted(BENCHMARKS.glob("*.py")), ids=lambda path: path.name)
def test_a_benchmark_can_be_started(path, monkeypatch, capsys):
    script = importlib.import_module(path.stem)
    if not hasattr(script, "main") or path.stem == "table":  # that takes no options
        return
    monkeypatch.setattr(sys, "argv", [path.name, "--help"])
    with pytest.raises(SystemExit) as end:
        script.main()
    assert end.value.code == 0
    assert "--result" in capsys.readouterr().out
