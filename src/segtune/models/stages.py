"""The stages of a feature extractor, from the picture to the head: what is frozen, or learns slower, layer by layer."""

from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn

SIDE = 128
"""Height and width of the picture that is sent through to see the stages; a multiple of what every model asks for."""
FEWEST_STAGES, EVEN_STAGES = 3, 4


@torch.no_grad()
def extractor_stages(extractor: nn.Module) -> list[list[nn.Module]]:
    """The modules of each stage.

    A stage ends where the size or the number of the feature maps changes. Where that never happens (plain vision
    transformers) the layers are dealt out to four stages. Weights outside of all layers, as position embeddings, are
    added to what comes in: they belong to the first stage.

    Args:
        extractor: float32 (N, 3, H, W) -> feature maps.
    """
    layers = _layers(extractor)
    shapes: dict[nn.Module, tuple[int, ...]] = {}

    def note(layer: nn.Module, _: Any, output: Any) -> None:
        shapes[layer] = _map_shape(output)

    hooks = [layer.register_forward_hook(note) for layer in layers]
    training = extractor.training
    device = next(extractor.parameters()).device
    try:
        extractor.eval()(torch.zeros(1, 3, SIDE, SIDE, device=device))
    finally:
        extractor.train(training)
        for hook in hooks:
            hook.remove()
    # A layer that is called in its own way has no shape; it belongs to the one before.
    last: tuple[int, ...] = ()
    for layer in layers:
        last = shapes.setdefault(layer, last)
    stages = [list(group) for _, group in groupby(layers, key=lambda layer: shapes[layer])]
    if len(stages) < FEWEST_STAGES:
        size = -(-len(layers) // EVEN_STAGES)
        stages = [layers[start : start + size] for start in range(0, len(layers), size)]
    in_layers = {id(parameter) for layer in layers for parameter in layer.parameters()}
    outside = [parameter for parameter in extractor.parameters() if id(parameter) not in in_layers]
    if outside:
        stages[0].append(nn.ParameterList(outside))
    return stages


def freeze_stages(extractor: nn.Module, stages: list[list[nn.Module]], number: int) -> list[nn.Module]:
    """Take the first stages out of the training, all for -1; returns their modules."""
    frozen = [extractor] if number < 0 else [module for stage in stages[:number] for module in stage]
    for module in frozen:
        module.requires_grad_(False)
    return frozen


def _layers(module: nn.Module) -> list[nn.Module]:
    """The layers that carry weights, in order; plain containers are opened."""
    children = [child for child in module.children() if any(True for _ in child.parameters())]
    own = {id(parameter) for parameter in module.parameters(recurse=False)}
    if len(children) == 1 and not own:
        return _layers(children[0]) if any(children[0].children()) else children
    layers: list[nn.Module] = []
    for child in children:
        is_container = isinstance(child, nn.Sequential | nn.ModuleList)
        layers += _layers(child) if is_container and len(list(child.children())) > 1 else [child]
    return layers


def _map_shape(output: Any) -> tuple[int, ...]:
    """Number of channels and size of a feature map, whichever way it lies."""
    while isinstance(output, list | tuple) and output:
        output = output[-1]
    if not isinstance(output, Tensor):
        return ()
    if output.ndim == 4:
        channels_first = output.shape[2] == output.shape[3]
        return (output.shape[1], output.shape[2]) if channels_first else (output.shape[3], output.shape[1])
    return tuple(output.shape[1:])
