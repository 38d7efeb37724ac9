"""The original recipe against plain torch, written out here."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from torch import nn
from torchvision import transforms

from segtune.annotations.dataset_folder import Pair
from segtune.classes import numbered_classes
from segtune.config import TrainConfig
from segtune.data.batch import Batch
from segtune.data.cache import open_samples
from segtune.data.loader import AugmentedPictures
from segtune.models.catalog import build_model, model_preprocessing
from segtune.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing
from segtune.training.augmentation import plan_augmentation
from segtune.training.losses import make_loss
from segtune.training.network import Network
from segtune.training.optimizer import make_optimizer, set_rates
from segtune.training.original_validation import ious_without_first, mean_iou_over_batches
from segtune.training.plan import Facts, make_plan
from segtune.training.step import Stepper

MODEL = "deeplabv3_resnet50"
CPU = torch.device("cpu")


def batch(num: int = 2, size: int = 64) -> Batch:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (num, 3, size, size), dtype=torch.uint8, generator=generator)
    labels = torch.randint(0, 5, (num, size, size), dtype=torch.uint8, generator=generator)
    return Batch(images, labels, tuple("ab"[:num]))


def reference_steps(net, images, labels, weights, keep_feature_extract, steps) -> list[float]:
    """The original's loop: train mode throughout, SGD, nn.CrossEntropyLoss."""
    for parameter in net.backbone.parameters():
        parameter.requires_grad = not keep_feature_extract
    optimizer = torch.optim.SGD([p for p in net.parameters() if p.requires_grad], lr=0.001, momentum=0.9)
    criterion = nn.CrossEntropyLoss(weight=torch.FloatTensor(weights) if weights else None)
    net.train()
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = criterion(net(images)["out"], labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize(("keep", "weights"), [(True, ()), (False, (1.0, 2.0, 1.0, 0.5, 1.0))])
def test_steps_equal_the_reference(steps, keep, weights):
    net = build_model(MODEL, 5)
    reference = torchvision.models.segmentation.deeplabv3_resnet50(weights=None, weights_backbone=None, aux_loss=False)
    reference.classifier = torchvision.models.segmentation.deeplabv3.DeepLabHead(2048, 5)
    reference.load_state_dict(copy.deepcopy(net.state_dict()))
    data = batch()
    normalize = transforms.Normalize(IMAGENET_MEAN, IMAGENET_STD)
    torch.manual_seed(0)
    expected = reference_steps(reference, normalize(data.images / 255), data.labels.long(), weights, keep, steps)

    options = {"keep_feature_extract": keep, "class_weights": weights or "auto"}
    plan = make_plan(TrainConfig(Path("d"), Path("r"), recipe="original", **options), Facts(5, 2, (9,) * 5, "cpu", 2))
    network = Network(net, MODEL, plan, CPU)
    optimizer = make_optimizer(net, network.stages, plan)
    stepper = Stepper(network, Preprocessing(), make_loss(plan, CPU), optimizer, plan)
    network.train_mode()
    torch.manual_seed(0)
    for step, loss in enumerate(expected):
        set_rates(optimizer, step / len(expected), plan)
        found = stepper.step(data, stepper.total_weight(data))
        assert found == pytest.approx(loss, abs=1e-6)
    for name, tensor in reference.state_dict().items():
        assert torch.allclose(net.state_dict()[name].float(), tensor.float(), rtol=0, atol=1e-6), name


def test_training_crops_have_the_originals_values(tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (224, 224, 3)).astype(np.uint8)
    Image.fromarray(picture).save(tmp_path / "x.png")
    Image.fromarray(picture[:, :, 0] % 5).save(tmp_path / "labels.png")
    plan = make_plan(TrainConfig(tmp_path, tmp_path, recipe="original"), Facts(5, 2, (9,) * 5, "cpu", 2))
    pairs = [Pair("x", tmp_path / "x.png", tmp_path / "labels.png")]
    preprocessing = model_preprocessing(MODEL, plan.longest_side)
    samples = open_samples(pairs, numbered_classes(5), preprocessing, "none", 0)
    pictures = AugmentedPictures(samples, plan_augmentation(plan, IMAGENET_MEAN), 0)
    flipped = [picture[::rows, ::columns] for rows in (1, -1) for columns in (1, -1)]
    seen = {next(i for i, known in enumerate(flipped) if (pictures[e, 0].image == known).all()) for e in range(20)}
    assert seen == {0, 1, 2, 3}


def original_iou(pred, target, n_classes):
    """The original's function, in numpy."""
    ious = []
    for index in range(1, n_classes):
        intersection = ((pred == index) & (target == index)).sum()
        union = (pred == index).sum() + (target == index).sum() - intersection
        if union > 0:
            ious.append(intersection / union)
    return ious


@pytest.mark.parametrize("seed", range(5))
def test_ious_equal_the_originals(seed):
    pred, target = np.random.default_rng(seed).integers(0, 4, (2, 3, 8, 8))
    assert ious_without_first(pred, target, 5) == pytest.approx(original_iou(pred, target, 5))


def test_score_is_the_mean_over_batches_and_skips_single_pictures():
    net = build_model("lraspp_mobilenet_v3_large", 5).eval()
    two, one = batch(2), batch(1)
    score = mean_iou_over_batches(net, [two, one, two], Preprocessing(), 5, CPU)
    with torch.no_grad():
        predicted = net(Preprocessing().normalize(two.images)).argmax(1).numpy()
    assert score == pytest.approx(np.mean(original_iou(predicted, two.labels.numpy(), 5)))
    assert mean_iou_over_batches(net, [one], Preprocessing(), 5, CPU) is None
