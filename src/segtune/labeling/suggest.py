"""The command 'segtune suggest': a model and a pool of pictures -> those to label next, with the model's drawings."""

import csv
import io
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from segtune.annotations.dataset_folder import ALL_SPLITS, IMAGES, all_files
from segtune.annotations.near_duplicates import thumbnail
from segtune.annotations.write_cvat import cvat_file, cvat_labels, refuse_not_xml
from segtune.arrays import Array
from segtune.config import SuggestConfig
from segtune.console import messages, track
from segtune.errors import DataError, UserError, listed
from segtune.files import printable, refuse_existing_in, write_json, write_text
from segtune.labeling.features import FeaturedLooks
from segtune.labeling.pool import PoolPicture, sort_pool
from segtune.labeling.selection import Choice, RankCandidate, rank
from segtune.labeling.sheet import Sheet
from segtune.labeling.uncertainty import Uncertainty, measure
from segtune.pictures import read_picture
from segtune.prediction.inputs import Input, find_inputs
from segtune.prediction.outputs import CVAT, CVAT_LABELS, ONE_FILE
from segtune.prediction.preannotation import check_preannotation, label_colors, notes_for_correction, preannotate
from segtune.prediction.predictor import load

RANKING, SHEET, CVAT_ZIP, PICTURES = "ranking.csv", "suggest.html", ONE_FILE[CVAT], "pictures"
RESULTS = (RANKING, SHEET, CVAT_ZIP, CVAT_LABELS, PICTURES)
MARK = ".unfinished_suggestion"
"""Stands in the output folder while the results are written: they may be replaced, though there is no ranking yet."""
TAKE_FRAMES = "Take frames first, as with: ffmpeg -i VIDEO -vf fps=1 frames/VIDEO_%06d.jpg"
COLUMNS = ("rank", "chosen", "picture", "file", "uncertainty", "entropy", "margin", "plain_entropy", "distance", "like")


@dataclass(frozen=True)
class Ranked:
    """A picture and why it has its rank.

    Attributes:
        picture: Its file in the pool.
        file: What it is called in pictures/, and in the task that is made of these; empty where it is not chosen.
        uncertainty: How unsure the model is.
        distance: How far it is from what is labelled or chosen before; infinite for the first of all.
        like: The picture before it, or labelled, that it is a copy or a neighbouring frame of; or an empty string.
    """

    picture: Path
    file: str
    uncertainty: Uncertainty
    distance: float
    like: str


@dataclass(frozen=True)
class SuggestReport:
    """What was done.

    Attributes:
        output: The folder that holds the results.
        chosen: The pictures to label, the most useful first.
        ranked: All pictures of the pool, these first.
        labeled: How many pictures of the pool are labelled already, to the byte.
        unreadable: What is wrong with each picture that could not be read.
        unreadable_labeled: The same of labelled ones: others may be like these.
        notes: What to know when correcting.
    """

    output: Path
    chosen: Sequence[Ranked]
    ranked: Sequence[Ranked]
    labeled: int
    unreadable: Sequence[str]
    unreadable_labeled: Sequence[str]
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class _Seen:
    """What is kept of a picture: little, as a pool may have many."""

    picture: PoolPicture
    candidate: RankCandidate
    uncertainty: Uncertainty


def suggest(config: SuggestConfig) -> SuggestReport:
    """Rank the pictures of a pool by what labelling them would teach, and draw what the model says of the best.

    Raises:
        UserError: No pictures, not a model that is ever unsure, or results that exist and may not be overwritten.
    """
    check_preannotation(config)
    if config.count < 1:
        raise UserError(f"--count is {config.count}.", "Expected: 1 or more pictures.")
    entries = find_inputs(config.pictures, config.output, TAKE_FRAMES)
    _refuse_videos(entries)
    _refuse_existing(config, entries)
    pool, known = sort_pool(entries, _labeled_files(config.labeled))
    predictor = load(config.model, config.device, backend=config.backend)
    if not predictor.has_confidence:
        raise UserError(f"{config.model} puts out class ids, and is never unsure.", "Export it without --argmax.")
    colors = label_colors(predictor.model.classes, config)
    refuse_not_xml(list(colors), "classes")
    unreadable: list[str] = []
    unreadable_labeled: list[str] = []
    looks = FeaturedLooks(predictor)
    seen = list(_look_at_all(pool, looks, "Looking", unreadable))
    if not seen:
        raise DataError("No picture could be read:", unreadable) if unreadable else _nothing_left(config)
    labeled = list(_look_at_all(known, looks, "Looking at the labelled", unreadable_labeled, True))
    everything = [*labeled, *seen]
    choices = rank([picture.candidate for picture in everything], config.count)
    ranked = _ranked(choices, everything, config.count)
    chosen = ranked[: config.count]
    _write(config, looks, chosen, ranked)
    notes = notes_for_correction(predictor.model.classes, config)
    return SuggestReport(config.output, chosen, ranked, len(entries) - len(pool), unreadable, unreadable_labeled, notes)


def _refuse_videos(entries: Sequence[Input]) -> None:
    videos = [entry.path.name for entry in entries if entry.is_video]
    if videos:
        raise UserError(
            f"{listed(videos, 3)} is a video; pictures were expected.",
            TAKE_FRAMES,
        )


def _refuse_existing(config: SuggestConfig, entries: Sequence[Input]) -> None:
    if not config.overwrite:
        refuse_existing_in(config.output, RESULTS)
    own = (config.output / PICTURES).resolve()
    if any(entry.path.resolve().is_relative_to(own) for entry in entries):
        raise UserError(f"{config.output} would overwrite the pictures themselves.", "Name another folder.")
    if (config.output / PICTURES).exists() and not any((config.output / name).exists() for name in (RANKING, MARK)):
        raise UserError(
            f"{config.output / PICTURES} was not made by 'segtune suggest', which would replace it.",
            "Name another folder.",
        )
    refuse_not_xml([entry.picture_name for entry in entries], "pictures")


def _labeled_files(dataset: Path | None) -> list[Path]:
    """The pictures of all splits of a dataset folder."""
    if dataset is None:
        return []
    folders = [dataset / split / IMAGES for split in ALL_SPLITS if (dataset / split / IMAGES).is_dir()]
    if not folders:
        raise UserError(f"{dataset} is not a dataset folder.", "--labeled names what 'segtune convert' made.")
    return [path for folder in folders for path in all_files(folder)]


def _nothing_left(config: SuggestConfig) -> UserError:
    return UserError(f"All pictures of {config.pictures} are in {config.labeled} already.", "Give others.")


def _look_at_all(
    pictures: Sequence[PoolPicture],
    looks: FeaturedLooks,
    title: str,
    unreadable: list[str],
    is_labeled: bool = False,
) -> Iterator[_Seen]:
    """Look at pictures, one after the other; what is wrong with some is added to ``unreadable``."""
    for picture in track(pictures, title, len(pictures)):
        try:
            pixels = read_picture(picture.path)
            look, features = looks.look(pixels)
        except UserError as error:
            unreadable.append(error.in_one_line)
            continue
        uncertainty = measure(look)
        small = thumbnail(Image.fromarray(pixels))
        yield _Seen(picture, RankCandidate(picture.series, uncertainty.score, features, small, is_labeled), uncertainty)


def _ranked(choices: Sequence[Choice], everything: Sequence[_Seen], count: int) -> list[Ranked]:
    ranked = []
    for place, choice in enumerate(choices):
        seen = everything[choice.index]
        file = seen.picture.file if place < count else ""
        like = "" if choice.like is None else everything[choice.like].picture.shown
        ranked.append(Ranked(seen.picture.path, file, seen.uncertainty, choice.distance, like))
    return ranked


def _write(config: SuggestConfig, looks: FeaturedLooks, chosen: Sequence[Ranked], ranked: Sequence[Ranked]) -> None:
    """Write all results, the ranking last: where it is, all is."""
    config.output.mkdir(parents=True, exist_ok=True)
    (config.output / MARK).touch()
    for name in RESULTS:
        path = config.output / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    table = looks.predictor.model.classes
    colors = label_colors(table, config)
    sheet = Sheet(table, config.labeled is not None)
    # CVAT orders the pictures of a task by their names.
    order = sorted(range(len(chosen)), key=lambda place: chosen[place].file)
    (config.output / PICTURES).mkdir()
    with cvat_file(config.output / CVAT_ZIP, colors) as add:
        for place in track(order, "Drawing", len(order)):
            entry = chosen[place]
            picture = _linked(entry.picture, config.output / PICTURES / entry.file)
            look, _ = looks.look(picture)
            add(preannotate(entry.file, look.prediction, config))
            sheet.add(place, entry.file, entry.uncertainty, entry.distance, entry.like, picture, look)
    write_json(config.output / CVAT_LABELS, cvat_labels(colors))
    write_text(config.output / SHEET, sheet.page())
    write_text(config.output / RANKING, _table(ranked))
    (config.output / MARK).unlink()


def _linked(path: Path, target: Path) -> Array:
    """Put a picture's file at ``target``, as a link where that is possible; returns its pixels."""
    try:
        os.link(path.resolve(), target)
    except OSError:
        shutil.copyfile(path, target)
    return read_picture(target)


def _table(ranked: Sequence[Ranked]) -> str:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    for place, entry in enumerate(ranked, start=1):
        values = entry.uncertainty
        numbers = (values.score, values.entropy, values.margin, values.plain_entropy, entry.distance)
        written = ["" if number == float("inf") else f"{number:.5f}" for number in numbers]
        table.writerow([place, int(bool(entry.file)), printable(str(entry.picture)), entry.file, *written, entry.like])
    return text.getvalue()


def render(report: SuggestReport) -> None:
    """Tell what a person should know."""
    left = [entry for entry in report.ranked[len(report.chosen) :] if entry.like]
    if report.labeled:
        messages.print(f"Left out: {report.labeled} pictures that are in the dataset already.")
    if left:
        messages.print(f"Put back: {len(left)} copies and neighbouring frames of these or of labelled pictures.")
    for problem in report.unreadable:
        messages.print(f"Left out: {problem}")
    for problem in report.unreadable_labeled:
        messages.print(f"Not counted as labelled: {problem}")
    for note in report.notes:
        messages.print(f"Note: {note}")
