"""What every model file says of itself, whatever its format: all that prediction needs beside the network."""

import json
from dataclasses import dataclass, field
from typing import Any

from segtune.classes import ClassTable
from segtune.errors import UserError
from segtune.preprocessing import Preprocessing

HEADER = "segtune"
"""The key of the text in a file's metadata."""

FORMAT_VERSION = 1


@dataclass(frozen=True)
class Description:
    """A model without its network.

    Attributes:
        architecture: Its name in the catalogue.
        classes: Its C classes.
        preprocessing: How pictures are prepared.
        scores: Scores on the validation pictures, where known: ``mean_iou``, ``pixel_accuracy``, …
        weights: What the training started from: ``source`` and ``licence``.
        training: The configuration of the training, where there was one.
    """

    architecture: str
    classes: ClassTable
    preprocessing: Preprocessing
    scores: dict[str, Any] = field(default_factory=dict)
    weights: dict[str, str] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)

    def to_header(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "format_version": FORMAT_VERSION,
            "architecture": {"name": self.architecture, "num_classes": self.classes.num_classes},
            "classes": self.classes.to_dict(),
            "preprocessing": self.preprocessing.to_dict(),
            "scores": self.scores,
            "weights": self.weights,
            "training": self.training,
        }

    def to_text(self) -> str:
        """The JSON that stands in a file's metadata under ``HEADER``."""
        return json.dumps(self.to_header())

    @staticmethod
    def from_header(header: dict[str, Any], source: str) -> "Description":
        """The inverse of ``to_header``.

        Args:
            header: Plain values, untrusted.
            source: Where they stand, for error messages.

        Raises:
            UserError: They are not complete, or contradict themselves.
        """
        try:
            architecture = str(header["architecture"]["name"])
            num_classes = int(header["architecture"]["num_classes"])
            classes = ClassTable.from_dict(header["classes"], source)
            preprocessing = Preprocessing.from_dict(header["preprocessing"], source)
            scores, weights, training = (dict(header[name]) for name in ("scores", "weights", "training"))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise UserError(f"{source}: its header is not complete ({error}).", "The file is damaged.") from error
        if num_classes != classes.num_classes:
            raise UserError(
                f"{source}: its header names {classes.num_classes} classes and counts {num_classes}.",
                "The file is damaged.",
            )
        return Description(architecture, classes, preprocessing, scores, weights, training)


def parse_header(text: str, source: str) -> dict[str, Any]:
    """The plain values of ``Description.to_text``.

    Raises:
        UserError: It is not such a text, or of a newer version.
    """
    try:
        header = dict(json.loads(text))
        version = int(header["format_version"])
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise UserError(
            f"{source} is not a segtune model file: what it says of itself can't be read.",
            "Expected: a file that 'segtune train', 'segtune import-weights' or 'segtune export' wrote.",
        ) from error
    if version > FORMAT_VERSION:
        raise UserError(f"{source} was written by a newer segtune (format {version}).", "Update segtune.")
    return header
