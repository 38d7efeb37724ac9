"""DatasetReport -> one HTML file: classes, findings, and pictures with their labels. It asks nothing of any network."""

import itertools
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

import numpy as np
from PIL import Image

from segtune.annotations.dataset_folder import IMAGES, LABELS, folder_files
from segtune.annotations.dataset_report import DatasetReport, share
from segtune.annotations.findings import Finding, findings_html
from segtune.annotations.image_builder import BadAnnotation
from segtune.annotations.label_image import channels, decode
from segtune.classes import IGNORE, ClassTable
from segtune.errors import UserError
from segtune.files import write_text
from segtune.pictures import DECODE_ERRORS, open_picture, shown_pixels
from segtune.spread import spread
from segtune.web_page import css_color, img, swatch, web_page

THUMBNAIL = 280
QUALITY = 72
MAX_PICTURES = 150
"""At about 40 kB for a picture, its labels and both together, this stays below 10 MB."""
OPACITY = 0.5
PICTURES_A_KIND = 6
SAMPLES_A_SPLIT = 12
FILES_SHOWN = 40

STYLE = """
:root { color-scheme: light dark; --line: #8884; --error: #c62828; --warning: #b26a00; }
@media (prefers-color-scheme: dark) { :root { --error: #ff8a80; --warning: #ffcc80; } }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; padding: 1rem; max-width: 72rem; }
h1, h2, h3 { line-height: 1.2; overflow-wrap: anywhere; } h2 { margin-top: 2.5rem; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid var(--line); white-space: nowrap; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
.bar { display: inline-block; height: .8em; min-width: 1px; vertical-align: baseline; outline: 1px solid var(--line); }
.swatch { display: inline-block; width: 1em; height: 1em; margin-right: .5em; outline: 1px solid #888; vertical-align:
-.1em; } .error > summary { color: var(--error); } .warning > summary { color: var(--warning); }
summary { cursor: pointer; padding: .4rem 0; font-weight: 600; overflow-wrap: anywhere; }
details { border-bottom: 1px solid var(--line); } li { overflow-wrap: anywhere; }
code { background: #8882; padding: .1em .3em; border-radius: .2em; overflow-wrap: anywhere; }
.pictures { display: grid; gap: 1rem; margin: 1rem 0;
  grid-template-columns: repeat(auto-fill, minmax(min(30rem, 100%), 1fr)); }
figure { margin: 0; } figure div { display: grid; grid-template-columns: repeat(3, 1fr); gap: 2px; }
img { width: 100%; height: auto; display: block; } figcaption { font-size: .85rem; overflow-wrap: anywhere; }
"""


def write_check_page(path: Path, report: DatasetReport) -> None:
    """Write the page, atomically.

    Raises:
        UserError: The place can't be written.
    """
    budget = itertools.count()
    figures = _Figures(report.dataset, report.classes, budget)
    title = f"Check of {report.dataset}"
    body = [
        f"<h1>{escape(title)}</h1>",
        _summary(report),
        _classes(report),
        _findings(report, figures),
        _samples(report, figures),
    ]
    write_text(path, web_page(title, STYLE, "\n".join(body)))


def _summary(report: DatasetReport) -> str:
    pictures = ", ".join(f"{facts.num_pictures} {escape(split)}" for split, facts in report.splits.items())
    repair = f"<p>What can be mended for you: <code>{escape(report.repair)}</code></p>" if report.repair else ""
    return (
        f"<p>{pictures} pictures; {len(report.errors)} errors, {len(report.warnings)} warnings. "
        f"Fingerprint <code>{report.fingerprint[:16]}</code></p>{repair}"
    )


def _classes(report: DatasetReport) -> str:
    head = "".join(
        f'<th class="number">{escape(split)}: pictures</th><th colspan="2">share of pixels</th>'
        for split in report.splits
    )
    rows = []
    for index, name in enumerate(report.classes.names):
        color = css_color(report.classes.colors[index])
        cells = [_number(index), f"<td>{swatch(report.classes.colors[index])}{escape(name)}</td>"]
        for facts in report.splits.values():
            part = share(facts, index)
            bar = f'<span class="bar" style="width:{8 * part:.3f}rem;background:{color}"></span>'
            cells += [_number(int(facts.pictures_with_class[index])), _number(f"{part:.2%}"), f"<td>{bar}</td>"]
        rows.append(f"<tr>{''.join(cells)}</tr>")
    return (
        '<h2>Classes</h2><div class="scroll" tabindex="0"><table><thead><tr><th class="number">id</th><th>class</th>'
        f"{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _number(value: object) -> str:
    return f'<td class="number">{value}</td>'


def _findings(report: DatasetReport, figures: "_Figures") -> str:
    def pictures_of(findings: Sequence[Finding]) -> str:
        files = [name for finding in findings for name in finding.files]
        return figures.show(files[: 2 * PICTURES_A_KIND], PICTURES_A_KIND)

    found = findings_html(report.findings, FILES_SHOWN, pictures_of)
    return f"<h2>Findings</h2>\n{found or '<p>Nothing wrong was found.</p>'}"


def _samples(report: DatasetReport, figures: "_Figures") -> str:
    parts = []
    for split in report.splits:
        files = sorted(folder_files(report.dataset / split / IMAGES).values())
        names = [path.relative_to(report.dataset).as_posix() for path in spread(files, SAMPLES_A_SPLIT)]
        parts.append(f"<h2>Pictures of {escape(split)}</h2>{figures.show(names, SAMPLES_A_SPLIT)}")
    return "\n".join(parts)


class _Figures:
    """Draws pictures, their labels over them and beside them; all together no more than MAX_PICTURES."""

    def __init__(self, dataset: Path, table: ClassTable, counter: Iterator[int]) -> None:
        self._dataset = dataset
        self._table = table
        self._counter = counter
        self._files: dict[Path, dict[str, Path]] = {}

    def show(self, files: Sequence[str], at_most: int) -> str:
        """Figures of the pictures that files belong to, pictures or label images."""
        stems = dict.fromkeys((name.split("/")[0], Path(name).stem) for name in files if name.count("/") >= 2)
        shown = []
        for split, stem in list(stems)[:at_most]:
            if next(self._counter) < MAX_PICTURES:
                paths = (self._listed(self._dataset / split / kind).get(stem) for kind in (IMAGES, LABELS))
                name = escape(f"{split}/{stem}")
                shown.append(f"<figure><div>{self._sides(stem, *paths)}</div><figcaption>{name}</figcaption></figure>")
        return f'<div class="pictures">{"".join(shown)}</div>' if shown else ""

    def _listed(self, folder: Path) -> dict[str, Path]:
        """The files of a folder; each is listed once, as it may hold thousands."""
        if folder not in self._files:
            self._files[folder] = folder_files(folder) if folder.is_dir() else {}
        return self._files[folder]

    def _sides(self, stem: str, picture_path: Path | None, labels_path: Path | None) -> str:
        """A picture, the same with its labels over it, and these alone; in words what can't be shown."""
        picture: Image.Image | None = None
        try:
            picture = _picture(picture_path)
            shown = img(picture, stem, QUALITY)
        except _NothingToShow as reason:
            shown = f"<em>{reason}</em>"
        try:
            colors, is_labelled = self._labels(labels_path)
        except _NothingToShow as reason:
            return f"{shown}<em>{reason}</em>"
        return shown + _overlay(picture, colors, is_labelled) + img(colors, f"labels of {stem}", QUALITY)

    def _labels(self, path: Path | None) -> tuple[Image.Image, Image.Image]:
        """Label colours, small, and where pixels are labelled."""
        if path is None:
            raise _NothingToShow("no label image")
        try:
            pixels = channels(decode(path.read_bytes(), str(path)))
        except (UserError, BadAnnotation, OSError) as error:
            raise _NothingToShow("can't be decoded") from error
        values = pixels.clip(0, 255).astype(np.uint8)
        is_labelled = values != IGNORE if values.ndim == 2 else np.ones(values.shape[:2], np.bool_)
        colors = Image.fromarray(self._table.colored(values) if values.ndim == 2 else values).convert("RGB")
        size = _fitting(colors.size)
        shown_labels, shown_where = (
            picture.resize(size, Image.Resampling.NEAREST) for picture in (colors, Image.fromarray(is_labelled))
        )
        return shown_labels, shown_where


class _NothingToShow(Exception):
    """Why there is no picture; for the page."""


def _picture(path: Path | None) -> Image.Image:
    """A picture as viewers show it, small."""
    if path is None:
        raise _NothingToShow("no picture")
    try:
        picture = open_picture(path)
        # A JPEG is decoded at an eighth of its size in half the time.
        picture.draft("RGB", (2 * THUMBNAIL, 2 * THUMBNAIL))
        shown = Image.fromarray(shown_pixels(picture, str(path)))
    except (UserError, *DECODE_ERRORS) as error:
        raise _NothingToShow("can't be decoded") from error
    return shown.resize(_fitting(shown.size), Image.Resampling.BOX)


def _fitting(size: tuple[int, int]) -> tuple[int, int]:
    """Width and height of a thumbnail."""
    factor = min(1, THUMBNAIL / max(size))
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def _overlay(picture: Image.Image | None, colors: Image.Image, is_labelled: Image.Image) -> str:
    """The picture with the colours of its labels over it; pixels that never count stay as they are."""
    if picture is None:
        return ""
    # Shapes that differ are a finding; thumbnails may do so by rounding.
    if max(abs(a - b) for a, b in zip(picture.size, colors.size, strict=True)) > 1:
        return "<em>the labels have another shape</em>"
    blended = Image.blend(picture, colors.resize(picture.size), OPACITY)
    return img(Image.composite(blended, picture, is_labelled.resize(picture.size)), "labels over the picture", QUALITY)
