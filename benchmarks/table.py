"""The newest figures of results/*.json as tables, each beside its limit or its peers, in README.md between marks.

.venv/bin/python benchmarks/table.py
"""

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import quality

HERE = Path(__file__).parent
README, RESULTS = HERE / "README.md", HERE / "results"
START, END = "<!-- {}: written by table.py -->", "<!-- end of the {} -->"
HEAD = ("what", "measured", "beside", "times as fast", "day")

Row = tuple[str, str, str, str]
"""What, measured, beside, times as fast."""


def row(what: str, measured: float, unit: str, limit: str, other: float, ratio: float) -> Row:
    """A row of two figures of one unit."""
    return what, f"{measured:.3g} {unit}", f"{limit}: {other:.3g} {unit}", f"{ratio:.2f}"


def fact(what: str, measured: str, beside: str) -> Row:
    """A row of what has no ratio."""
    return what, measured, beside, ""


def training(result: dict[str, Any]) -> Iterator[Row]:
    formats, start = result["memory formats"], result["start"]
    for name, called in (("camvid", "CamVid"), ("jpegs of 4000 x 3000", "JPEGs of 4000 x 3000")):
        if name in result:
            steps = result[name]
            yield row(
                f"training on {called}, a step of the pipeline", steps["pipeline_seconds"], "s", "on a batch in memory",
                steps["bare_seconds"], steps["ratio"],
            )  # fmt: skip
    yield row(
        "a step with the channels last", formats["channels_last"], "s", "channels first", formats["channels_first"],
        formats["ratio"],
    )  # fmt: skip
    yield row(
        "start of a training to the end of its first step", start["first_step_done"], "s", "importing torch",
        start["import_torch"], start["import_torch"] / start["first_step_done"],
    )  # fmt: skip
    for name, peaks in result.get("memory", {}).items():
        last, first = peaks["last_epoch_mb"], peaks["first_epoch_mb"]
        yield fact(f"memory of a training, {name}", f"{last:.0f} MB at its end", f"{first:.0f} MB after an epoch")


def resume(result: dict[str, Any]) -> Iterator[Row]:
    same = f"{result['same']} of {len(result['runs'])} end with the same bytes"
    yield fact("trainings killed at random moments, and resumed", same, f"{result['kills']} kills")


def reading(result: dict[str, Any]) -> Iterator[Row]:
    figures = result["figures"]
    without = figures["crop, cache none"]
    for cache in ("disk", "ram"):
        crop = figures[f"crop, cache {cache}"]
        yield row(f"a crop of a 4000 x 3000 JPEG, cache: {cache}", crop, "ms", "no cache", without, without / crop)


def prediction(result: dict[str, Any]) -> Iterator[Row]:
    figures = result["figures"]
    for key, name in (("bare network", "PyTorch"), ("bare session", "ONNX Runtime")):
        rates = figures[f"command and {key}"]
        yield row(
            f"predict on CamVid, {name}, files in and out", rates["pictures_per_second"], "pictures/s", f"the {key}",
            rates["bare_per_second"], rates["ratio"],
        )  # fmt: skip
    large, seams = figures["10,000 x 10,000"], figures["same labels in tiles and whole"]
    height, width, memory = large["height"], large["width"], large["megabytes_above_the_model"]
    pixels = f"its pixels: {height * width * 3 / 1e6:.0f} MB"
    yield fact(f"predict a picture of {height} x {width}", f"{memory:.0f} MB above the loaded model", pixels)
    what, worst = f"the same class in tiles of {seams['tile']} as in the whole", f"{seams['lowest']:.3%}"
    yield fact(what, f"{seams['mean']:.3%} of the pixels", f"the worst picture: {worst}")


def serving(result: dict[str, Any]) -> Iterator[Row]:
    figures = result["figures"]
    capacity, asked = figures["capacity_per_second"], figures["asked_per_second"]
    yield row(
        f"serve, asked {asked / capacity:.1f} times as much as it can answer", figures["answered_per_second"],
        "answers/s", "its most", capacity, figures["answered_per_second"] / capacity,
    )  # fmt: skip
    latency, memory = figures["latency_s"], figures["memory_mb"]
    half = f"half of them: {latency['50']:.3g} s"
    yield fact("of these answers 99 % took at most", f"{latency['99']:.3g} s", half)
    yield fact("its memory at the end", f"{memory['end']:.0f} MB", f"at the start: {memory['start']:.0f} MB")


def exporting(result: dict[str, Any]) -> Iterator[Row]:
    whole = result["figures"]["end to end"]
    yield row(
        "predict, backend auto, decoding included", whole["auto_ms"], "ms a picture", "backend eager",
        whole["eager_ms"], whole["speed_ratio"],
    )  # fmt: skip
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
    what = f"convert, {result['what'].partition(':')[0]}, {result.get('pictures', 'jpg').upper()}"
    own, many = figures["segtune, as many pictures as the others"], figures["segtune"]
    for name, called in (("plain script", "plain script, one process"), ("datumaro", "datumaro")):
        if name in figures:
            other = figures[name]
            yield row(
                f"{what}, {own['pictures']:,} pictures", own["per_second"], "pictures/s", called, other["per_second"],
                own["per_second"] / other["per_second"],
            )  # fmt: skip
    measured = f"{many['per_second']:.3g} pictures/s, {many['memory_mb']:.0f} MB"
    few = f"{own['pictures']:,} pictures: {own['memory_mb']:.0f} MB"
    yield fact(f"{what}, {many['pictures']:,} pictures", measured, few)


def checking(result: dict[str, Any]) -> Iterator[Row]:
    figures = result["figures"]
    own = figures["segtune check"]["per_second"]
    bare = figures["the same, JPEGs at an eighth of their size"]["per_second"]
    yield row("check, 1920 x 1080", own, "pairs/s", "decoding by Pillow, JPEGs at an eighth", bare, own / bare)


TABLES: dict[str, Callable[[dict[str, Any]], Iterator[Row]]] = {
    "training": training,
    "resume": resume,
    "reading": reading,
    "prediction": prediction,
    "exporting": exporting,
    "conversion of polygons, jpg": conversion,
    "conversion of masks, jpg": conversion,
    "conversion of polygons, png": conversion,
    "checking": checking,
    "serving": serving,
}


def figures_by_name(results: Path, names: Iterable[str]) -> dict[str, tuple[Path, dict[str, Any]]]:
    """The newest figures of each name, and their file; all of the machine that was measured last."""
    files = ((path, json.loads(path.read_text())) for path in sorted(results.glob("*.json")))
    found = [(name, path, figures[name]) for path, figures in files for name in names if name in figures]
    found.sort(key=lambda one: one[2]["measured"]["date"])
    machines = [result["measured"]["machine"] for _, _, result in found]
    return {name: (path, result) for name, path, result in found if result["measured"]["machine"] == machines[-1]}


def table(results: Path = RESULTS) -> str:
    """The newest figures in Markdown, each with its day."""
    lines = [f"| {' | '.join(HEAD)} |", f"|{' --- |' * len(HEAD)}"]
    found = figures_by_name(results, TABLES)
    for name, rows in TABLES.items():
        if name in found:
            result = found[name][1]
            lines += [f"| {' | '.join(cells)} | {result['measured']['date']} |" for cells in rows(result)]
    paths = dict.fromkeys(f"`results/{path.name}`" for path, _ in found.values())
    return "\n".join([*lines, "", f"Figures, versions and commands: {', '.join(paths)}."])


def quality_tables(results: Path = RESULTS) -> str:
    """What the newest run of quality.py has measured: of its files the one whose last training ended last."""
    files = {path: json.loads(path.read_text()) for path in results.glob("*-quality.json")}
    path, about = max(files.items(), key=lambda file: last_end(file[1]))
    return f"{quality.tables(about)}\n\nFigures, versions and commands: `results/{path.name}`."


def last_end(about: dict[str, Any]) -> str:
    """When the last run of a result file ended."""
    entries = (entry for contestants in about["results"].values() for entry in contestants.values())
    return max(run["finished"] for entry in entries for run in entry["runs"])


def labeling_table(results: Path = RESULTS) -> str:
    """What labeling.py has measured: a row for each way to choose pictures, seeds in brackets."""
    _, figures = figures_by_name(results, ["labeling"])["labeling"]
    lines = [f"| mean IoU (of each seed) | {' | '.join(f'{size} pictures' for size in figures['pictures'])} |"]
    lines += [f"|{' --- |' * (len(figures['pictures']) + 1)}"]
    for name, means in figures["mean_iou"].items():
        seeds = zip(*(scores[name] for scores in figures["seeds"].values()), strict=True)
        cells = [
            f"{mean:.3f} ({' '.join(f'{value:.3f}' for value in values)})"
            for mean, values in zip(means, seeds, strict=True)
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


TEXTS: dict[str, Callable[[], str]] = {"figures": table, "quality": quality_tables, "labeling": labeling_table}
"""What stands in README.md, by the name in its marks."""


def with_text(page: str, name: str, text: str) -> str:
    """A page with this text between the marks of this name."""
    start, end = START.format(name), END.format(name)
    before, _, rest = page.partition(start)
    _, found, after = rest.partition(end)
    if not found:
        raise SystemExit(f"{README} has no lines '{start}' and '{end}'.")
    return f"{before}{start}\n\n{text}\n\n{end}{after}"


def written(page: str) -> str:
    """A page with all that has been measured."""
    for name, make in TEXTS.items():
        page = with_text(page, name, make())
    return page


def main() -> None:
    README.write_text(written(README.read_text()))


if __name__ == "__main__":
    main()
