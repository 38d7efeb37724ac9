"""Predictor: a model on a device; a picture in, class ids at the picture's own size out."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from segtune.arrays import Array, Floats, Values
from segtune.classes import ClassTable
from segtune.config import Auto, RuntimeName, TestTimeAugmentation
from segtune.description import Description
from segtune.errors import UserError
from segtune.pictures import read_picture
from segtune.prediction.sliding_window import ALIGNMENT, Enlarged, LargePicture, Pixels, aligned, sliding_window
from segtune.prediction.test_time_augmentation import augmented
from segtune.preprocessing import Preprocessing
from segtune.runtimes.backend import Backend, one_hot
from segtune.runtimes.open import open_model

MAX_WHOLE_PIXELS = 2048 * 2048
"""Pictures above this, as the network sees them, are cut into tiles where nothing else is asked for."""

CROPS_IN_TILE, MIN_AUTO_TILE, MAX_CROP = 4, 1280, 4096
"""A tile's side in training crops, and at least; what is believed of a crop."""

AUTO_OVERLAP = 448
"""Pixels by which tiles overlap, if that is no more than half of them: a network sees no farther in larger tiles."""


@dataclass(frozen=True)
class Prediction:
    """What a model says of a picture.

    Attributes:
        class_ids: uint8 (H, W), at the picture's own size.
        confidence: float32 (H, W), the softmax probability of the predicted class.
        classes: Names and colours of the ids.
    """

    class_ids: Array
    confidence: npt.NDArray[np.float32]
    classes: ClassTable

    @property
    def colors(self) -> Array:
        """The segmentation in the classes' colours, uint8 (H, W, 3) RGB."""
        return self.classes.colored(self.class_ids)


@dataclass(frozen=True)
class PredictOptions:
    """How pictures are shown to the network.

    Attributes:
        tile: Side of the tiles, in pixels of the picture as it is, or as it is enlarged; 0: none. 'auto': the picture
            is resized as in training, and cut where it is then above ``MAX_WHOLE_PIXELS``, into tiles by the
            training's crop.
        overlap: Of neighbouring tiles, at least. 'auto': ``AUTO_OVERLAP``, or half of the tile.
        tta: Test-time augmentation.
    """

    tile: int | Auto = "auto"
    overlap: int | Auto = "auto"
    tta: TestTimeAugmentation = "none"

    def __post_init__(self) -> None:
        if isinstance(self.tile, int) and self.tile != 0 and self.tile < 2 * ALIGNMENT:
            raise UserError(f"Tiles of {self.tile} pixels are too small.", f"Expected: 0, or {2 * ALIGNMENT} and more.")
        if isinstance(self.overlap, int) and self.overlap < 0:
            raise UserError(f"--overlap {self.overlap} is no overlap.", "Expected: 0 or more pixels.")


class Predictor:
    """Predicts pictures with a model; evaluation and prediction use this one way.

    Args:
        model: What the model says of itself.
        backend: Its network.
        options: Tiles and test-time augmentation.

    Raises:
        UserError: The overlap is not less than the tile, or the network takes pictures that can't be augmented.
    """

    def __init__(self, model: Description, backend: Backend, options: PredictOptions | None = None) -> None:
        self.model = model
        self.backend = backend
        self.options = options or PredictOptions()
        if self.options.tta != "none" and not self.has_confidence:
            raise UserError("Class ids have no mean.", "Leave out --tta, or export without --argmax.")
        if self.options.tta != "none" and backend.interface.input != "images":
            raise UserError("This export prepares pictures itself.", "Leave out --tta, or --with-preprocessing.")
        # Sizes of what is augmented are multiples of what the network takes.
        self.answer = augmented(backend.run, self.options.tta, model.preprocessing.size_multiple, backend)
        crop = model.training.get("crop", 0)
        crop = crop if isinstance(crop, int) and 0 <= crop <= MAX_CROP else 0  # the file is untrusted
        chosen = self.options.tile
        self.tile = aligned(chosen or 0 if chosen != "auto" else max(CROPS_IN_TILE * crop, MIN_AUTO_TILE))
        overlap = self.options.overlap
        self.overlap = aligned(min(self.tile // 2, AUTO_OVERLAP) if overlap == "auto" else overlap)
        if self.overlap >= self.tile > 0:
            raise UserError(
                f"An overlap of {self.overlap} pixels leaves nothing of tiles of {self.tile}.",
                "Give a larger --tile or a smaller --overlap; both are rounded up to multiples of 32.",
            )

    @property
    def has_confidence(self) -> bool:
        """Whether the network puts out logits; where it puts out class ids, each has the confidence 1."""
        return self.backend.interface.output == "logits"

    @cached_property
    def preprocessing(self) -> Preprocessing:
        """The model's, but that pictures are not shrunk where tiles of a size are asked for."""
        is_tiled = self.options.tile not in {"auto", 0}
        return replace(self.model.preprocessing, longest_side=0) if is_tiled else self.model.preprocessing

    @cached_property
    def _of_working_size(self) -> Preprocessing:
        """For what has its working size already."""
        return replace(self.model.preprocessing, longest_side=0, enlarge=1)

    def predict(self, picture: Path | str | Array) -> Prediction:
        """Segment one picture.

        Args:
            picture: A picture file, or uint8 (H, W, 3) RGB.

        Raises:
            UserError: The file can't be decoded.
        """
        pixels = picture if isinstance(picture, np.ndarray) else read_picture(Path(picture))
        return self._assembled(pixels, self.logit_rows(pixels))

    def predict_batch(self, pictures: Sequence[Array]) -> list[Prediction]:
        """Segment pictures, uint8 (H, W, 3) RGB; those of one size go through the network together.

        The ones that are cut into tiles fill it by themselves, and go one by one, as do those of different sizes.
        """
        size = self.preprocessing.working_size(*pictures[0].shape[:2])
        if len({picture.shape for picture in pictures}) > 1 or not self._fits(*size):
            return [self.predict(picture) for picture in pictures]
        logits = self._logits_of(np.stack([self.working(picture)[: size[0], : size[1]] for picture in pictures]))
        return [
            self._assembled(pictures[index], self._restored(pictures[index], [logits[index : index + 1]]))
            for index in range(len(pictures))
        ]

    def predict_rows(self, picture: Array | LargePicture) -> Iterator[tuple[slice, Array, Floats]]:
        """Segment a picture some rows at a time, from its top to its bottom.

        Args:
            picture: uint8 (H, W, 3) RGB, or what can be read in parts.

        Yields:
            Which rows; their class ids, uint8 (rows, W); and their confidence, float32 (rows, W).
        """
        for rows, logits in self.logit_rows(picture):
            yield rows, *self.backend.best(logits)

    def logit_rows(self, picture: Array | LargePicture) -> Iterator[tuple[slice, Values]]:
        """Like ``predict_rows``, with logits (C, rows, W), where the backend leaves them."""
        return self._restored(picture, self._logits(self.working(picture)))

    def working(self, picture: Array | LargePicture) -> Pixels:
        """A picture at its working size; what is enlarged is as large only where it is read."""
        if self.preprocessing.enlarge > 1:
            return Enlarged(picture, self.preprocessing.enlarge)
        if isinstance(picture, np.ndarray):
            return self.preprocessing.resized(picture)
        size = self.preprocessing.working_size(*picture.shape[:2])
        return picture if size == picture.shape[:2] else picture.shrunk(*size)

    def _restored(self, picture: Array | LargePicture, bands: Iterable[Values]) -> Iterator[tuple[slice, Values]]:
        """Bands of logits at the working size -> what ``logit_rows`` yields."""
        height, width = picture.shape[:2]
        for rows, logits in self.preprocessing.restore_rows(bands, height, width, self.backend):
            yield rows, logits[0]

    def _assembled(self, picture: Array, logit_rows: Iterator[tuple[slice, Values]]) -> Prediction:
        class_ids = np.empty(picture.shape[:2], np.uint8)
        confidence = np.empty(picture.shape[:2], np.float32)
        for rows, logits in logit_rows:
            class_ids[rows], confidence[rows] = self.backend.best(logits)
        return Prediction(class_ids, confidence, self.model.classes)

    def _logits(self, pixels: Pixels) -> Iterator[Values]:
        """Logits of pixels, uint8 (h, w, 3), in bands of rows (1, C, rows, w)."""
        height, width = pixels.shape[:2]
        if self._fits(height, width):
            yield self._logits_of(pixels[:height, :width][None])
        else:
            yield from sliding_window(
                lambda tile: self._logits_of(tile[None]), pixels, self.tile, self.overlap, self.backend
            )

    def _fits(self, height: int, width: int) -> bool:
        """Whether a picture at its working size goes through the network as a whole."""
        is_small = self.options.tile == "auto" and height * width <= MAX_WHOLE_PIXELS
        return self.tile == 0 or is_small or max(height, width) <= self.tile

    def _logits_of(self, pictures: Array) -> Values:
        """Pixels, uint8 (n, h, w, 3) -> logits (n, C, h, w)."""
        height, width = pictures.shape[1:3]
        answer = self.answer(np.concatenate([self.prepared(pixels) for pixels in pictures]))
        if not self.has_confidence:
            answer = self.backend.array(
                one_hot(self.backend.numpy(answer).astype(np.uint8), self.model.classes.num_classes)
            )
        shape = tuple(answer.shape)
        if len(shape) != 4 or shape[2] < height or shape[3] < width:
            raise UserError(
                f"For a picture of {width} x {height} the network gave an array of {' x '.join(map(str, shape))}.",
                "The file is damaged.",
            )
        if shape[1] != self.model.classes.num_classes:
            raise UserError(
                f"The network knows {shape[1]} classes; the file names {self.model.classes.num_classes}.",
                "The file is damaged.",
            )
        return answer[:, :, :height, :width]

    def prepared(self, pixels: Array) -> Floats | Array:
        """What the network takes, of pixels, uint8 (h, w, 3)."""
        if self.backend.interface.input == "images":
            return self._of_working_size.prepare(pixels)
        axes = (0, 1, 2) if self.backend.interface.input == "nhwc" else (2, 0, 1)
        return np.ascontiguousarray(pixels.transpose(axes))[None]


def load(
    path: Path | str, device: str = "auto", options: PredictOptions | None = None, backend: RuntimeName = "auto"
) -> Predictor:
    """Load a model file of any format for prediction: ``segtune.load("model.safetensors").predict("x.jpg").class_ids``.

    Args:
        path: A model.safetensors, or what 'segtune export' made of one.
        device: 'auto', 'cpu' or 'cuda'.
        options: Tiles and test-time augmentation.
        backend: What computes a .safetensors on a CPU: 'eager' is torch.

    Raises:
        UserError: Not a model file, or no such device.
    """
    return Predictor(*open_model(Path(path), device, backend), options)
