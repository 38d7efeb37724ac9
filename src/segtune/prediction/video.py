"""Videos: frame by frame -> an overlay video and, on request, a label image a frame."""

import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import cv2
import numpy as np

from segtune.arrays import Array
from segtune.console import track
from segtune.errors import UserError, unwritable
from segtune.files import atomic_path
from segtune.pictures import write_labels
from segtune.prediction.draw import overlay
from segtune.prediction.inputs import Input
from segtune.prediction.outputs import LABELS, OVERLAYS, Outputs
from segtune.prediction.pipeline import PixelBudget, overlapped
from segtune.prediction.predictor import Prediction, Predictor

CODEC = "mp4v"
"""What OpenCV's wheels can write everywhere: MPEG-4 part 2 in .mp4."""

FRAME_NAME = re.compile(r"\d{6,}\.png")

FEWEST_FRAMES = 0.95
"""Of those that a video states, as some state them about: the share that can be decoded if it is whole."""

DEFAULT_RATE = 25.0
"""Frames a second, where a video does not say."""

MAX_EXACT_RATE = 65
"""Up to here a rate keeps thousandths: MPEG-4 has 16 bits for the fraction's numerator (ISO/IEC 14496-2)."""


class OverlayVideo:
    """Writes frames, uint8 (H, W, 3) RGB, into an mp4 that is made with the first of them."""

    def __init__(self, path: Path, rate: float) -> None:
        self.path = path
        self.rate = rate
        self._num_frames = 0
        self._writer: cv2.VideoWriter | None = None

    def add(self, frame: Array) -> None:
        """Add a frame.

        Raises:
            UserError: OpenCV can't write it.
        """
        if self._writer is None:
            size = frame.shape[1], frame.shape[0]
            self._writer = cv2.VideoWriter(str(self.path), cv2.VideoWriter.fourcc(*CODEC), self.rate, size)
            if not self._writer.isOpened():
                raise UserError(
                    f"OpenCV can't write a video of {size[0]} x {size[1]} pixels and {self.rate:g} frames a second to"
                    f" {self.path.parent}.",
                    "Choose --save labels.",
                )
        self._writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
        self._num_frames += 1

    def close(self) -> None:
        """Finish the file."""
        if self._writer is not None:
            self._writer.release()

    def finish(self) -> None:
        """Finish the file, and see whether it has all frames: of a full disk OpenCV says nothing.

        Raises:
            WriteError: It has not.
        """
        self.close()
        written = cv2.VideoCapture(str(self.path))
        count = int(written.get(cv2.CAP_PROP_FRAME_COUNT))
        written.release()
        if count < self._num_frames:
            problem = OSError(None, f"of {self._num_frames} frames {count} are in it: is the disk full?")
            raise unwritable(self.path.parent, problem)


def predict_video(predictor: Predictor, entry: Input, outputs: Outputs) -> str:
    """Predict all frames; returns what is wrong with the video all the same, or an empty string.

    Raises:
        UserError: It can't be decoded, or the results can't be written.
    """
    capture = cv2.VideoCapture(str(entry.path))
    if not capture.isOpened():
        raise UserError(f"{entry.path} is not a video that OpenCV can decode.", "Convert it to mp4 (H.264).")
    rate = capture.get(cv2.CAP_PROP_FPS)
    total = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    labels = outputs.path(entry, LABELS)
    if LABELS in outputs.video_kinds:
        _clear_frames(labels)
    numbers = iter(range(1, 1 << 31))
    with ExitStack() as stack:
        stack.callback(capture.release)
        video = None
        if OVERLAYS in outputs.video_kinds:
            video = OverlayVideo(stack.enter_context(atomic_path(outputs.path(entry, OVERLAYS))), writable_rate(rate))
            stack.callback(video.close)
        budget = PixelBudget()

        def write(done: tuple[Array, Prediction]) -> None:
            frame, prediction = done
            if LABELS in outputs.video_kinds:
                write_labels(labels / f"{next(numbers):06}.png", prediction.class_ids, prediction.classes)
            if video is not None:
                video.add(overlay(frame, prediction.class_ids, prediction.classes))
            budget.give_back(prediction.class_ids.size)

        written = overlapped(
            _frames(capture, budget),
            lambda frame: (frame, predictor.predict(frame)),
            write,
            budget,
            predictor.backend.workers,
        )
        count = sum(1 for _ in track(written, entry.path.name, total if total > 0 else None))
        if not count:
            raise UserError(f"{entry.path} holds no frame that OpenCV can decode.", "Convert it to mp4 (H.264).")
        if video is not None:
            video.finish()
    if count < FEWEST_FRAMES * total:
        return f"{entry.path} states {total} frames, but only {count} could be decoded, and are done: is it cut short?"
    return ""


def _clear_frames(folder: Path) -> None:
    """Remove the frames of a video that may have been longer; --overwrite has allowed it."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if FRAME_NAME.fullmatch(path.name):
            path.unlink()


def writable_rate(rate: float) -> float:
    """The rate of an overlay video for one that states ``rate`` frames a second; phones state odd ones."""
    if not 0.01 <= rate < 1000:
        return DEFAULT_RATE
    return round(rate, 3 if rate < MAX_EXACT_RATE else 1)


def _frames(capture: cv2.VideoCapture, budget: PixelBudget) -> Iterator[Array]:
    """Frames as uint8 (H, W, 3) RGB; OpenCV turns those that phones mark as rotated."""
    while True:
        is_there, frame = capture.read()
        if not is_there:
            return
        budget.take(frame.shape[0] * frame.shape[1])
        yield np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), np.uint8)
