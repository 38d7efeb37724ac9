"""The command 'segtune report': run folder -> report.html."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image

from segtune.annotations.dataset_folder import need_dataset_folder
from segtune.config import ReportConfig
from segtune.errors import UserError
from segtune.files import refuse_existing, write_text
from segtune.pictures import DECODE_ERRORS, open_picture
from segtune.prediction.predictor import load
from segtune.report.example_pictures import ExamplePicture, choose_pictures, draw_pictures
from segtune.report.page import Report, report_page
from segtune.report.run_facts import RunFacts, read_facts
from segtune.run_folder import RunFolder
from segtune.runtimes.eager import choose_device
from segtune.web_page import data_uri

SHEET_SIDE = 1600
"""Pixels of the longer side that the sheet of augmented samples is shrunk to."""
SHEET_QUALITY = 75


@dataclass(frozen=True)
class ReportResult:
    """What was written.

    Attributes:
        path: The page.
        missing: What it doesn't show, and how to get it.
    """

    path: Path
    missing: Sequence[str]


def write_report(config: ReportConfig) -> ReportResult:
    """Make the report of a run, and write it. What can't be had is left out, and named on the page.

    Raises:
        UserError: There is no run, run.json is broken, an option means nothing here, or the page can't be written.
    """
    folder = RunFolder(config.run)
    path = config.output or folder.report
    if not config.overwrite and path.absolute() != folder.report.absolute():
        refuse_existing(path)
    if config.pictures < 0:
        raise UserError(f"--pictures is {config.pictures}; 0 or more was expected.")
    device = choose_device(config.device)
    if config.dataset is not None:
        need_dataset_folder(config.dataset)
    facts = read_facts(folder, config.dataset)
    missing = list(facts.missing)
    pictures = _pictures(facts, config, device, missing)
    augmented = _augmented(folder, missing)
    write_text(path, report_page(Report(config.run, facts, pictures, augmented, missing)))
    return ReportResult(path, missing)


def _pictures(facts: RunFacts, config: ReportConfig, device: torch.device, missing: list[str]) -> list[ExamplePicture]:
    """The best and the worst pictures, where model and dataset are there."""
    if facts.known is None or not config.pictures:
        return []
    try:
        chosen = choose_pictures(facts.dataset, facts.picture_scores, config.pictures)
        predictor = load(RunFolder(config.run).model, device.type, backend="eager")
        shown = list(draw_pictures(predictor, facts.dataset, chosen, facts.picture_scores))
    except UserError as error:
        moved = shlex.join(["segtune", "report", str(config.run), "--dataset"])
        missing.append(f"Pictures: {error.message} If the dataset was moved: {moved} DATASET")
        return []
    if len(shown) < len(chosen):
        missing.append(f"{len(chosen) - len(shown)} of {len(chosen)} pictures: the page would be too large.")
    return shown


def _augmented(folder: RunFolder, missing: list[str]) -> str:
    """The sheet of augmented samples."""
    if not folder.augmented.exists():
        missing.append(f"There are no augmented samples: {folder.augmented.name} comes with a new training.")
        return ""
    try:
        sheet = open_picture(folder.augmented).convert("RGB")
    except (UserError, *DECODE_ERRORS) as error:
        missing.append(f"{folder.augmented} can't be decoded: {error}.")
        return ""
    sheet.thumbnail((SHEET_SIDE, SHEET_SIDE), Image.Resampling.BOX)
    return data_uri(sheet, "jpeg", quality=SHEET_QUALITY)
