"""Dilated depthwise convolutions that train on CPUs as fast as others.

torch computes their gradients on CPUs by code that is five to seven times slower than that without dilation: in
the paper's DeepLabV3+ on EfficientNet four such layers took a fifth of a training step. A dilation of d is the same as
none on each of the d x d pictures that every d-th row and column make (Yu and Koltun 2016, and TensorFlow's
space_to_batch).
"""

from typing import TypeGuard

from torch import Tensor, nn
from torch.nn import functional


class SplitDilatedConv2d(nn.Conv2d):
    """A dilated depthwise ``nn.Conv2d`` of stride 1 and size-keeping padding, with the same state dict.

    Training goes by pictures of every d-th row and column; the outputs differ by rounding alone.

    Args:
        conv: What it computes, see ``is_dilated_depthwise``; the parameters are shared.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        nn.Module.__init__(self)
        self.__dict__.update(conv.__dict__)  # all that it is; nothing is drawn or copied

    def forward(self, features: Tensor) -> Tensor:
        """Convolve float (N, C, H, W)."""
        num_images, channels, height, width = features.shape
        row_step, column_step = self.dilation
        rows, columns = -(-height // row_step), -(-width // column_step)
        # Pictures smaller than the kernel are mostly padding, and slow again.
        if not self.training or rows < self.kernel_size[0] or columns < self.kernel_size[1]:
            return super().forward(features)
        added_rows, added_columns = rows * row_step - height, columns * column_step - width
        # With the channels last every copy below moves whole pixels.
        pixels = functional.pad(features.permute(0, 2, 3, 1), (0, 0, 0, added_columns, 0, added_rows))
        pixels = pixels.reshape(num_images, rows, row_step, columns, column_step, channels)
        pixels = pixels.permute(2, 4, 0, 1, 3, 5)
        pixels = pixels.reshape(row_step * column_step * num_images, rows, columns, channels)
        padding = (self.kernel_size[0] // 2, self.kernel_size[1] // 2)
        convolved = functional.conv2d(
            pixels.permute(0, 3, 1, 2), self.weight, self.bias, padding=padding, groups=self.groups
        )
        pixels = convolved.permute(0, 2, 3, 1).reshape(row_step, column_step, num_images, rows, columns, channels)
        pixels = pixels.permute(2, 3, 0, 4, 1, 5).reshape(num_images, rows * row_step, columns * column_step, channels)
        return pixels[:, :height, :width].permute(0, 3, 1, 2)


def is_dilated_depthwise(module: nn.Module) -> TypeGuard[nn.Conv2d]:
    """Whether a layer is a dilated depthwise convolution that ``SplitDilatedConv2d`` can stand for."""
    return (
        type(module) is nn.Conv2d
        and module.groups == module.in_channels == module.out_channels
        and module.stride == (1, 1)
        and max(module.dilation) > 1
        and all(side % 2 for side in module.kernel_size)
        and module.padding_mode == "zeros"
        and module.padding == tuple(d * (k // 2) for d, k in zip(module.dilation, module.kernel_size, strict=True))
    )


def split_dilated(net: nn.Module) -> None:
    """Replace the dilated depthwise convolutions inside a net, in place; its parameters stay the same objects."""
    for parent in list(net.modules()):
        for name, child in parent.named_children():
            if is_dilated_depthwise(child):
                setattr(parent, name, SplitDilatedConv2d(child))
