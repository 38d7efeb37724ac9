"""Result files: figures by name, each with the day, the machine, the commit and the versions that it is of.

python benchmarks/record.py    # prints DATE-MACHINE, by which result files are named
"""

import argparse
import json
import os
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PACKAGES = (
    "segtune",
    "torch",
    "torchvision",
    "segmentation-models-pytorch",
    "timm",
    "onnxruntime",
    "pillow",
    "opencv-python-headless",
)
"""Whose versions a result file names."""
VERSIONS = """
import json, sys
from importlib.metadata import PackageNotFoundError, version
found = dict.fromkeys(sys.argv[1:])
for name in found:
    try:
        found[name] = version(name)
    except PackageNotFoundError:
        pass
print(json.dumps(found))
"""


def write(path: Path, result: object) -> None:
    """A file of JSON; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=2) + "\n")


def add_result(parser: argparse._ActionsContainer) -> None:
    """The option that names the file for :func:`record`."""
    parser.add_argument("--result", type=Path, metavar="FILE.json", help="put the figures into this file of figures")


def record(path: Path, name: str, result: dict[str, Any]) -> None:
    """Put figures, as measured now and here, into a file of figures by name; earlier ones of this name go."""
    measured = {
        "date": today(),
        "command": shlex.join(["python", *sys.argv]),
        "machine": {"name": machine(), "processor": processor(), "cpus": os.cpu_count()},
        "commit": commit(),
        "versions": {"python": platform.python_version(), **versions(Path(sys.executable), PACKAGES)},
    }
    others = json.loads(path.read_text()) if path.exists() else {}
    write(path, {**others, name: {**result, "measured": measured}})


def today() -> str:
    return f"{datetime.now(UTC):%Y-%m-%d}"


def machine() -> str:
    """The machine's kind, as files are named by it: runs of different processors shall not meet in one table."""
    kind = re.sub(r"[^a-z0-9]+", "-", processor().lower()).strip("-")
    system = f"{platform.system()}-{platform.machine()}-{os.cpu_count()}-cpus".lower()
    return "-".join(filter(None, [system, kind]))


def processor() -> str:
    """The processor's name, family and model, where the system tells them."""
    path = Path("/proc/cpuinfo")
    facts: dict[str, str] = {}
    for line in path.read_text().splitlines() if path.exists() else []:
        key, _, value = line.partition(":")
        facts.setdefault(key.strip(), value.strip())
    named = (("model name", ""), ("cpu family", "family "), ("model", "model "))
    return ", ".join(word + facts[key] for key, word in named if key in facts)


def commit() -> str:
    """The commit of the code that ran, '-dirty' where that was changed since; empty where that is no repository.

    Results and their tables are written by the benchmarks themselves.
    """
    described = _git("describe", "--always")
    written_here = [f":(top,exclude){path}" for path in ("benchmarks/results", "benchmarks/README.md")]
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", ":(top)", *written_here)
    return f"{described}-dirty" if changed else described


def _git(*words: str) -> str:
    command = ["git", "-C", str(HERE), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def versions(python: Path, packages: Sequence[str]) -> dict[str, str | None]:
    """What an environment has of some packages."""
    output = subprocess.run([python, "-c", VERSIONS, *packages], capture_output=True, text=True, check=True)
    found: dict[str, str | None] = json.loads(output.stdout)
    return found


if __name__ == "__main__":
    print(f"{today()}-{machine()}")
