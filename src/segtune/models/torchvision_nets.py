"""torchvision's segmentation nets, built as the original project does: no auxiliary classifier, a new head."""

from torch import Tensor, nn
from torch.nn import functional
from torchvision.models import WeightsEnum, segmentation
from torchvision.models.segmentation.deeplabv3 import DeepLabHead
from torchvision.models.segmentation.fcn import FCNHead


class LogitsNet(nn.Module):
    """Backbone and classifier of a torchvision net; its state dict has torchvision's names.

    Args:
        backbone: float (N, 3, H, W) -> feature maps by name.
        classifier: Takes the feature map ``out``, or all where ``all_features`` is set.
        all_features: Whether the classifier takes the dict of feature maps (LR-ASPP).
    """

    def __init__(self, backbone: nn.Module, classifier: nn.Module, all_features: bool = False) -> None:
        super().__init__()
        self.backbone = backbone
        self.classifier = classifier
        self.all_features = all_features

    def forward(self, images: Tensor) -> Tensor:
        """Normalised pictures, float32 (N, 3, H, W) -> logits (N, C, H, W)."""
        features = self.backbone(images)
        logits = self.classifier(features if self.all_features else features["out"])
        return functional.interpolate(logits, size=images.shape[-2:], mode="bilinear", align_corners=False)


def deeplabv3_resnet101(num_classes: int) -> LogitsNet:
    """The original's net: DeepLabV3 (Chen et al. 2017) on ResNet-101."""
    net = segmentation.deeplabv3_resnet101(weights=None, weights_backbone=None)
    return LogitsNet(net.backbone, DeepLabHead(2048, num_classes))


def deeplabv3_resnet50(num_classes: int) -> LogitsNet:
    """DeepLabV3 on ResNet-50."""
    net = segmentation.deeplabv3_resnet50(weights=None, weights_backbone=None)
    return LogitsNet(net.backbone, DeepLabHead(2048, num_classes))


def deeplabv3_mobilenet_v3_large(num_classes: int) -> LogitsNet:
    """DeepLabV3 on MobileNetV3-Large."""
    net = segmentation.deeplabv3_mobilenet_v3_large(weights=None, weights_backbone=None)
    return LogitsNet(net.backbone, DeepLabHead(960, num_classes))


def lraspp_mobilenet_v3_large(num_classes: int) -> LogitsNet:
    """LR-ASPP (Howard et al. 2019) on MobileNetV3-Large."""
    net = segmentation.lraspp_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=num_classes)
    return LogitsNet(net.backbone, net.classifier, all_features=True)


def fcn_resnet50(num_classes: int) -> LogitsNet:
    """FCN (Long et al. 2015) on ResNet-50."""
    net = segmentation.fcn_resnet50(weights=None, weights_backbone=None)
    return LogitsNet(net.backbone, FCNHead(2048, num_classes))


WEIGHTS: dict[str, WeightsEnum] = {
    "deeplabv3_resnet101": segmentation.DeepLabV3_ResNet101_Weights.COCO_WITH_VOC_LABELS_V1,
    "deeplabv3_resnet50": segmentation.DeepLabV3_ResNet50_Weights.COCO_WITH_VOC_LABELS_V1,
    "deeplabv3_mobilenet_v3_large": segmentation.DeepLabV3_MobileNet_V3_Large_Weights.COCO_WITH_VOC_LABELS_V1,
    "lraspp_mobilenet_v3_large": segmentation.LRASPP_MobileNet_V3_Large_Weights.COCO_WITH_VOC_LABELS_V1,
    "fcn_resnet50": segmentation.FCN_ResNet50_Weights.COCO_WITH_VOC_LABELS_V1,
}
"""The published weights of each net."""
