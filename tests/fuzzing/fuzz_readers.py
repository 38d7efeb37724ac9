"""Feeds the readers spoiled exports for some minutes: nothing but UserError may come out, in bounded time and memory.

    .venv/bin/python tests/fuzzing/fuzz_readers.py --minutes 10 [--seed 0] [EXPORT ...]

Each round takes a real export, spoils one of its text or label files (numbers become NaN, 1e12, -1 …; parts are cut
out, doubled, exchanged; bytes flipped; the end cut off), and reads and paints it as 'segtune convert' would. Not part
of the test suite. Without EXPORT, all exports under annotation-samples of the shared data are used.
"""

import argparse
import io
import os
import random
import re
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter, deque
from pathlib import Path
from typing import IO

from segtune.annotations.export import Export
from segtune.annotations.formats import detect_format, read_annotations
from segtune.annotations.painter import rasterize
from segtune.annotations.picture_index import PictureIndex
from segtune.annotations.source import ExportSource, FolderSource
from segtune.errors import UserError

SECONDS = 20
"""A round that takes longer has failed."""
MEMORY = 6 * 2**30
TEXT = (".xml", ".json", ".txt", ".yaml", ".csv")
NASTY = [
    b"nan", b"NaN", b"Infinity", b"-1", b"1e12", b"1e400", b"-1e9", b"99999999999999999999", b"0", b"0.5", b"null",
    b"true", b"[]", b"{}", b'""', b'"x"', b"", b"2147483648", b"-0", b"1e-320", b"\xff\xfe", b"[[[[]]]]",
    b"1,2", b"&amp;", b"\x00", "ü".encode(), b"../../x", b"a" * 300,
]  # fmt: skip


class SpoiledSource(ExportSource):
    """An export of which one file has other content."""

    def __init__(self, export: Path, name: str, content: bytes) -> None:
        self._export = FolderSource(export)
        self._spoiled = name, content
        super().__init__(export, list(self._export.names))

    def open(self, name: str) -> IO[bytes]:
        """The other content, or the file's own."""
        return io.BytesIO(self._spoiled[1]) if name == self._spoiled[0] else self._export.open(name)

    def copy(self, name: str, target: Path) -> None:
        """Not needed: nothing is written."""
        raise NotImplementedError


def spoil(content: bytes, choose: random.Random) -> bytes:
    """One to four changes."""
    for _ in range(choose.randint(1, 4)):
        kind = choose.randrange(7)
        numbers = list(re.finditer(rb"-?\d+(?:\.\d+)?", content)) if kind < 3 else []
        a, b = sorted(choose.randrange(len(content) + 1) for _ in range(2))
        b = min(b, a + choose.choice([1, 8, 200, len(content)]))
        if numbers:
            found = choose.choice(numbers)
            content = content[: found.start()] + choose.choice(NASTY) + content[found.end() :]
        elif kind == 3:
            content = content[:a] + content[b:]
        elif kind == 4:
            content = content[:b] + content[a:b] * choose.choice([1, 1, 50]) + content[b:]
        elif kind == 5:
            content = content[:a] + choose.choice(NASTY) + content[b:]
        elif content and choose.random() < 0.3:
            content = content[:a]
        elif content:
            place = choose.randrange(len(content))
            content = content[:place] + bytes([choose.randrange(256)]) + content[place + 1 :]
    return content[: 2**22]


def read(source: ExportSource, name: str) -> int:
    """Read and paint everything; returns how many shapes there were."""
    export = Export(source, PictureIndex(source), attribute="class")
    _, annotations = read_annotations(export, name)
    num_shapes = 0
    for image in annotations.images():
        picture = image.picture or export.pictures.find(image.name, image.subset, image.file)
        size = image.size or (export.pictures.size(picture) if picture else (100, 100))
        if not image.problems and size[0] * size[1] < 10**8:
            deque(rasterize([shape.geometry for shape in image.shapes], size), maxlen=0)
        num_shapes += len(image.shapes)
    return num_shapes


def exports_under(folder: Path) -> list[Path]:
    """The folders that are exports of a known format."""
    found = []
    for path in [folder, *sorted(path for path in folder.rglob("*") if path.is_dir())]:
        try:
            detect_format(FolderSource(path))
        except UserError:
            continue
        found.append(path)
    return found


def _too_slow(*_: object) -> None:
    raise TimeoutError(f"more than {SECONDS} seconds")


def main() -> int:
    """Run; returns how many rounds failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("exports", nargs="*", type=Path)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    shared = Path(os.environ.get("SEGTUNE_TEST_DATA", Path(__file__).parents[3] / "shared"))
    roots = options.exports or [shared / "annotation-samples"]
    exports = [(path, detect_format(FolderSource(path))) for root in roots for path in exports_under(root)]
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    signal.signal(signal.SIGALRM, _too_slow)
    choose = random.Random(options.seed)
    outcomes: Counter[tuple[str, str]] = Counter()
    failures: Counter[str] = Counter()
    end = time.monotonic() + 60 * options.minutes
    while time.monotonic() < end:
        path, name = choose.choice(exports)
        files = [file for file in FolderSource(path).names if file.endswith((*TEXT, ".png"))]
        # Most of what a reader does hangs on its text files.
        texts = [file for file in files if file.endswith(TEXT)]
        file = choose.choice(texts if texts and choose.random() < 0.85 else files)
        content = spoil((path / file).read_bytes(), choose)
        signal.alarm(SECONDS)
        try:
            read(SpoiledSource(path, file, content), name)
            outcomes[name, "read"] += 1
        except UserError:
            outcomes[name, "refused"] += 1
        except Exception as error:  # noqa: BLE001  (what must not happen is the subject)
            outcomes[name, "FAILED"] += 1
            place = traceback.extract_tb(error.__traceback__)[-1]
            reason = f"{name}: {type(error).__name__}: {str(error)[:100]} at {Path(place.filename).name}:{place.lineno}"
            if reason not in failures:
                kept = Path(tempfile.mkdtemp(prefix="segtune-fuzz-")) / Path(file).name
                kept.write_bytes(content)
                print(f"{reason}\n  {path / file}: {kept}", flush=True)
                traceback.print_exc()
            failures[reason] += 1
        finally:
            signal.alarm(0)
    for (name, outcome), count in sorted(outcomes.items()):
        print(f"{name:20} {outcome:8} {count}")
    print(f"{outcomes.total()} rounds, {failures.total()} failed")
    return min(1, failures.total())


if __name__ == "__main__":
    sys.exit(main())
