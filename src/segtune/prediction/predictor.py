"""Predictor: a model on a device; a picture in, class ids at the picture's own size out."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from segtune.classes import ClassTable
from segtune.errors import UserError
from segtune.model_file import Model, load_model
from segtune.pictures import read_picture

Array = npt.NDArray[np.uint8]


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
        return self.classes.palette[self.class_ids]


class Predictor:
    """Predicts pictures with a model; evaluation and prediction use this one way.

    Args:
        model: The model; its net is moved to the device and set to evaluation.
        device: Where to compute.
    """

    def __init__(self, model: Model, device: torch.device) -> None:
        self.model = model
        self.device = device
        self.net = model.net.to(device).eval()

    @torch.inference_mode()
    def predict(self, picture: Path | str | Array) -> Prediction:
        """Segment one picture.

        Args:
            picture: A picture file, or uint8 (H, W, 3) RGB.

        Raises:
            UserError: The file can't be decoded.
        """
        pixels = picture if isinstance(picture, np.ndarray) else read_picture(Path(picture))
        images = self.model.preprocessing.prepare(pixels).to(self.device, memory_format=torch.channels_last)
        logits = self.model.preprocessing.restore(self.net(images), pixels.shape[0], pixels.shape[1])
        top, class_ids = logits.max(dim=1)
        confidence = torch.exp(top - torch.logsumexp(logits, dim=1))
        return Prediction(
            class_ids[0].to(torch.uint8).cpu().numpy(), confidence[0].float().cpu().numpy(), self.model.classes
        )


def choose_device(name: str) -> torch.device:
    """The device that 'auto', 'cpu' or 'cuda' means here.

    Raises:
        UserError: CUDA is asked for and not there.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("There is no CUDA device that torch can use here.", "Use --device cpu, or mend the driver.")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def load(path: Path | str, device: str = "auto") -> Predictor:
    """Load a model file for prediction: ``segtune.load("model.safetensors").predict("x.jpg").class_ids``.

    Raises:
        UserError: Not a model file, or no such device.
    """
    model = load_model(Path(path))
    # Convolutions on CPUs are a third faster with the channels last in memory, and so with tensor cores.
    model.net.to(memory_format=torch.channels_last)
    return Predictor(model, choose_device(device))
