"""How much memory of a CUDA device a training step takes: measured, by steps with few pictures."""

from dataclasses import dataclass

import torch
from torch import nn

from segtune.config import TrainConfig
from segtune.out_of_memory import is_out_of_memory
from segtune.preprocessing import Preprocessing
from segtune.training.losses import RegionLoss, region_loss
from segtune.training.plan import precision_of
from segtune.training.recipes import value_of
from segtune.training.step import AUTOCAST

OPTIMIZER_COPIES = {"sgd": 1, "adamw": 2}
"""Copies of the weights that an optimizer keeps."""
FEW, MORE = 2, 4


@dataclass(frozen=True)
class StepMemory:
    """Bytes; 0: not known.

    Attributes:
        free: Free before the training.
        fixed: What a step takes however few pictures it has.
        per_picture: What it takes for each.
    """

    free: int = 0
    fixed: int = 0
    per_picture: int = 0


def measure_step(net: nn.Module, config: TrainConfig, preprocessing: Preprocessing, device: torch.device) -> StepMemory:
    """Measure on a CUDA device; the net is left as it was, on the CPU.

    The whole net is trained here: frozen parts need less.
    """
    free, _ = torch.cuda.mem_get_info(device)
    saved = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    crop = -(-value_of(config, "crop") // preprocessing.size_multiple) * preprocessing.size_multiple
    has_bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
    precision = AUTOCAST.get(precision_of(config, device.type, has_bf16))
    regions = region_loss(value_of(config, "loss"))
    peaks = []
    try:
        net.to(device).train()
        for num_pictures in (FEW, FEW, MORE):  # the first warms up: libraries take memory of their own
            torch.cuda.reset_peak_memory_stats(device)
            images = torch.zeros(num_pictures, 3, crop, crop, device=device)
            with torch.autocast("cuda", precision, enabled=precision is not None):
                logits = net(images)
            loss = _loss(logits.float(), regions)
            loss.backward()  # type: ignore[no-untyped-call]
            del logits, loss, images
            net.zero_grad(set_to_none=True)
            peaks.append(torch.cuda.max_memory_allocated(device))
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        return StepMemory(free, free, free)
    finally:
        net.to("cpu")
        net.load_state_dict(saved)
        torch.cuda.empty_cache()
    per_picture = max(1, (peaks[-1] - peaks[-2]) // (MORE - FEW))
    weights = sum(parameter.numel() * parameter.element_size() for parameter in net.parameters())
    copies = OPTIMIZER_COPIES[value_of(config, "optimizer")] + bool(value_of(config, "ema"))
    return StepMemory(free, peaks[-2] - FEW * per_picture + copies * weights, per_picture)


def _loss(logits: torch.Tensor, regions: RegionLoss | None) -> torch.Tensor:
    """Cross entropy, and what the training adds to it, of labels that have all classes."""
    pixels = torch.arange(logits[:, 0].numel(), device=logits.device)
    labels = (pixels % logits.shape[1]).view_as(logits[:, 0])
    loss = nn.functional.cross_entropy(logits, labels)
    return loss if regions is None else loss + regions(logits, labels)
