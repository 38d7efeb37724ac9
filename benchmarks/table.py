"""The figures of results/*.json as one table, each beside its limit; it stands in README.md between two marks.

.venv/bin/python benchmarks/table.py
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
README, RESULTS = HERE / "README.md", HERE / "results"
START, END = "<!-- figures: written by table.py -->", "<!-- end of the figures -->"
HEAD = ("what", "measured", "beside", "times as fast", "from")

Row = tuple[str, str, str, str]
"""What, measured, beside, times as fast."""


def row(what: str, measured: float, unit: str, limit: str, other: float, ratio: float) -> Row:
    """A row of two figures of one unit."""
    return what, f"{measured:.3g} {unit}", f"{limit}: {other:.3g} {unit}", f"{ratio:.2f}"


def training(result: dict[str, Any]) -> Iterator[Row]:
    camvid, formats, start = result["camvid"], result["memory formats"], result["start"]
    yield row(
        "training on CamVid, a step of the pipeline", camvid["pipeline_seconds"], "s", "the bare step",
        camvid["bare_seconds"], camvid["ratio"],
    )  # fmt: skip
    yield row(
        "a step with the channels last", formats["channels_last"], "s", "channels first", formats["channels_first"],
        formats["ratio"],
    )  # fmt: skip
    yield row(
        "start of a training to the end of its first step", start["first_step_done"], "s", "importing torch",
        start["import_torch"], start["import_torch"] / start["first_step_done"],
    )  # fmt: skip


def reading(result: dict[str, Any]) -> Iterator[Row]:
    figures = result["figures"]
    bare = figures["decoding the JPEG alone"]["milliseconds"]
    for cache in ("disk", "ram"):
        crop = figures[f"crop, cache {cache}, at full size"]
        yield row(
            f"a crop of a 4000 x 3000 JPEG, cache: {cache}", crop["milliseconds"], "ms", "decoding it", bare,
            crop["times_faster"],
        )  # fmt: skip


def prediction(result: dict[str, Any]) -> Iterator[Row]:
    figures = result["figures"]
    for key, name in (("bare network", "PyTorch"), ("bare session", "ONNX Runtime")):
        rates = figures[f"command and {key}"]
        yield row(
            f"predict on CamVid, {name}, files in and out", rates["pictures_per_second"], "pictures/s", f"the {key}",
            rates["bare_per_second"], rates["ratio"],
        )  # fmt: skip


def exporting(result: dict[str, Any]) -> Iterator[Row]:
    whole = result["figures"]["end to end"]
    yield row(
        "predict, backend auto, decoding included", whole["auto_ms"], "ms a picture", "backend eager",
        whole["eager_ms"], whole["speed_ratio"],
    )  # fmt: skip
    if "8 bits" in result["figures"]:
        bits = result["figures"]["8 bits"]
        yield row(
            f"predict with an .onnx of 8 bits, {bits['equal_pixels']:.1%} of the pixels alike", bits["int8_ms"],
            "ms a picture", "of 32 bits", bits["float32_ms"], bits["speed_ratio"],
        )  # fmt: skip
    start = result["figures"]["start to first prediction"]
    yield row(
        "first prediction with an .onnx, the whole process", start["onnx_s"], "s", "with PyTorch", start["eager_s"],
        start["eager_s"] / start["onnx_s"],
    )  # fmt: skip


def conversion(result: dict[str, Any]) -> Iterator[Row]:
    figures = result["figures"]
    own = figures["segtune"]["per_second"]
    picture = result.get("pictures", "jpg").upper()
    for name in ("plain script", "datumaro"):
        if name in figures:
            other = figures[name]["per_second"]
            yield row(
                f"convert, {result['what'].partition(':')[0]}, {picture}", own, "pictures/s", name, other, own / other
            )


def checking(result: dict[str, Any]) -> Iterator[Row]:
    figures = result["figures"]
    own = figures["segtune check"]["per_second"]
    bare = figures["the same, JPEGs at an eighth of their size"]["per_second"]
    yield row("check, 1920 x 1080", own, "pairs/s", "decoding the files", bare, own / bare)


TABLES: dict[str, Callable[[dict[str, Any]], Iterator[Row]]] = {
    "training": training,
    "reading": reading,
    "prediction": prediction,
    "exporting": exporting,
    "conversion-polygons": conversion,
    "conversion-masks": conversion,
    "conversion-png": conversion,
    "checking": checking,
}


def table(results: Path = RESULTS) -> str:
    """All figures that there are, in Markdown."""
    lines = [f"| {' | '.join(HEAD)} |", f"|{' --- |' * len(HEAD)}"]
    for name, rows in TABLES.items():
        path = results / f"{name}.json"
        if path.exists():
            lines += [f"| {' | '.join(cells)} | {path.name} |" for cells in rows(json.loads(path.read_text()))]
    return "\n".join(lines)


def with_table(text: str, figures: str) -> str:
    """A page with these figures between its marks."""
    before, _, rest = text.partition(START)
    _, end, after = rest.partition(END)
    if not end:
        raise SystemExit(f"{README} has no lines '{START}' and '{END}'.")
    return f"{before}{START}\n\n{figures}\n\n{END}{after}"


def main() -> None:
    figures = table()
    README.write_text(with_table(README.read_text(), figures))
    print(figures)


if __name__ == "__main__":
    main()
