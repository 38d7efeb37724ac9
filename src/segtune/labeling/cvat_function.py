"""A model as an auto-annotation function of cvat-sdk (extra ``cvat``): it draws on the pictures of a task in CVAT.

``cvat-cli task auto-annotate ID --function-module segtune.labeling.cvat_function -p model=str:model.safetensors``

Source: https://docs.cvat.ai/docs/api_sdk/sdk/auto-annotation/.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import cvat_sdk.auto_annotation as cvataa
from cvat_sdk import models
from PIL import Image

from segtune.annotations.annotated_image import Polygon, Runs, Shape
from segtune.config import PreannotationOptions
from segtune.errors import UserError
from segtune.pictures import shown_pixels
from segtune.prediction.preannotation import check_preannotation, label_colors, preannotate
from segtune.prediction.predictor import Predictor, load

try:
    from cvat_cli._internal.common import CriticalError
except ImportError:  # only cvat-sdk is here, or a cvat-cli that has moved it
    CriticalError = Exception


class FunctionError(UserError, CriticalError):  # type: ignore[misc]  # cvat-cli has no types
    """A UserError that cvat-cli prints without a traceback, as it does its own, which is private, and no other's."""


@contextmanager
def _told_by_cvat_cli() -> Iterator[None]:
    try:
        yield
    except UserError as error:
        raise FunctionError(error.message, error.hint) from error


class SemanticMasks:
    """A detection function: one mask for each connected area of a class.

    Args:
        predictor: The model.
        options: What is left out. A threshold that CVAT gives stands in place of ``min_confidence``.

    Raises:
        UserError: Impossible numbers, or a ``min_confidence`` where the model has no confidence.
    """

    def __init__(self, predictor: Predictor, options: PreannotationOptions) -> None:
        self._predictor = predictor
        self._options = options
        self._check(options)
        colors = label_colors(predictor.model.classes, options)
        self._ids = {name: number for number, name in enumerate(colors)}
        self._spec = cvataa.DetectionFunctionSpec(
            labels=[cvataa.label_spec(name, number, type="mask") for name, number in self._ids.items()]
        )

    @property
    def spec(self) -> cvataa.DetectionFunctionSpec:
        """The model's classes; those of the task are found by their names."""
        return self._spec

    def detect(self, context: cvataa.DetectionFunctionContext, image: Image.Image) -> list[models.LabeledShapeRequest]:
        """The areas of a picture; polygons where CVAT asks for these.

        Raises:
            FunctionError: A threshold where the model has no confidence, or the picture can't be shown.
        """
        options = replace(self._options, shapes="polygon" if context.conv_mask_to_poly else "mask")
        if context.conf_threshold is not None:
            options = replace(options, min_confidence=context.conf_threshold)
        with _told_by_cvat_cli():
            self._check(options)
            prediction = self._predictor.predict(shown_pixels(image, context.frame_name))
            return [self._shape(shape) for shape in preannotate(context.frame_name, prediction, options).shapes]

    def _check(self, options: PreannotationOptions) -> None:
        check_preannotation(options)
        if options.min_confidence and not self._predictor.has_confidence:
            raise UserError(
                "The model puts out class ids, without a confidence.",
                "Export it without --argmax, or leave out min_confidence and --conf-threshold.",
            )

    def _shape(self, shape: Shape) -> models.LabeledShapeRequest:
        label = self._ids[shape.label or ""]
        if isinstance(shape.geometry, Runs):
            return cvataa.mask(label, encoded(shape.geometry))
        assert isinstance(shape.geometry, Polygon)
        return cvataa.polygon(label, shape.geometry.outlines[0].ravel().tolist(), z_order=shape.z_order)


def encoded(runs: Runs) -> list[float]:
    """What ``cvat_sdk.masks.encode_mask`` gives, of runs: those, then the box with its last column and row."""
    right, bottom = runs.left + runs.width - 1, runs.top + runs.height - 1
    return [*map(float, runs.lengths.tolist()), runs.left, runs.top, right, bottom]


def create(
    model: str,
    device: str = "auto",
    min_confidence: float = 0.0,
    min_area: int = 0,
    with_background: bool = False,
) -> SemanticMasks:
    """What cvat-cli calls, with the parameters of its ``-p NAME=TYPE:VALUE``.

    Args:
        model: A model file of any format, as for 'segtune predict'.
        device: 'auto', 'cpu' or 'cuda'.
        min_confidence: Areas whose mean confidence is lower are left to the person; 0 to 1.
        min_area: Smaller areas go to what is around them, in pixels; 0: polygons of fewer than 20 alone.
        with_background: Whether the background is drawn, too.

    Raises:
        FunctionError: Not a model file, no such device, impossible numbers, or a ``min_confidence`` where the model has
            no confidence. It is a UserError.
    """
    options = PreannotationOptions(
        min_confidence=min_confidence, min_area=min_area or "auto", with_background=with_background
    )
    with _told_by_cvat_cli():
        check_preannotation(options)
        return SemanticMasks(load(model, device), options)
