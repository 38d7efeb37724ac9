"""Smaller .onnx files: computing with 16-bit floats or 8-bit integers."""

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from segtune.description import HEADER
from segtune.errors import UserError, first_line
from segtune.pictures import read_picture
from segtune.prediction.predictor import Predictor
from segtune.runtimes.write_torch import quiet

CALIBRATION_PICTURES = 64
"""Training pictures from which the ranges of values are taken."""


def halve_onnx(path: Path) -> None:
    """Make an .onnx compute with float16; what goes in and out stays. It is rewritten in place."""
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it tells of each number that is rounded
        halved = convert_float_to_float16(onnx.load(str(path)), keep_io_types=True)
    onnx.save(halved, str(path))


def quantize_onnx(path: Path, predictor: Predictor, pictures: Sequence[Path]) -> None:
    """Quantise an .onnx to 8 bits (static QDQ; a scale for each channel of the weights), in place.

    Args:
        path: The file.
        predictor: Prepares pictures as the network takes them.
        pictures: Of the training.

    Raises:
        UserError: It can't be quantised.
    """
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    program = onnx.load(str(path))
    text = next(entry.value for entry in program.metadata_props if entry.key == HEADER)
    (source,) = (entry.name for entry in program.graph.input)

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.feeds: Iterator[dict[str, Any]] = ({source: _prepared(predictor, name)} for name in pictures)

        def get_next(self) -> dict[str, Any] | None:
            return next(self.feeds, None)

    try:
        with quiet(""):  # the root's: onnxruntime's own has no name
            prepared = path.with_name(f".prepared-{path.name}")
            quant_pre_process(str(path), str(prepared), skip_symbolic_shape=True)
            quantize_static(
                str(prepared), str(path), Reader(), quant_format=QuantFormat.QDQ, per_channel=True,
                activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
            )  # fmt: skip
            prepared.unlink()
    except (RuntimeError, ValueError) as error:
        raise UserError(f"The network can't be quantised: {first_line(error)}", "Leave out --int8.") from error
    quantized = onnx.load(str(path))
    if HEADER not in {entry.key for entry in quantized.metadata_props}:
        quantized.metadata_props.add(key=HEADER, value=text)
    onnx.save(quantized, str(path))


def _prepared(predictor: Predictor, path: Path) -> np.ndarray[Any, Any]:
    """A picture as the network takes it, the middle of it where it is larger than a tile."""
    pixels = predictor.working(read_picture(path))
    rows, columns = (_middle(length, predictor.tile or length) for length in pixels.shape[:2])
    return predictor.prepared(pixels[rows, columns])


def _middle(length: int, most: int) -> slice:
    side = min(length, most)
    return slice((length - side) // 2, (length + side) // 2)
