"""Every kind of model takes every kind of picture."""

import socket

import numpy as np
import pytest
import torch
from torch.nn import functional
from torchvision.models import segmentation
from torchvision.models.segmentation.deeplabv3 import DeepLabHead

from segtune.arrays import NumpyArrays
from segtune.errors import UserError
from segtune.models.catalog import MODELS, build_model, feature_extractor, find_model, model_preprocessing
from segtune.models.smp_decoders import DECODERS

OTHER_ENCODERS = [
    "unet:resnet18", "fpn:mobilenetv3_small_050", "upernet:convnext_atto", "segformer:pvt_v2_b0",
    "deeplabv3plus:pvt_v2_b0",
]  # fmt: skip
NAMES = [*MODELS, *(f"{decoder}:efficientnet_lite0" for decoder in DECODERS), *OTHER_ENCODERS]


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Nets on tiny pictures are slower with more, above all where other work runs beside."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module", params=NAMES)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def net(name):
    return build_model(name, 5)


def picture(height, width):
    return np.random.default_rng(height).integers(0, 256, (height, width, 3), np.uint8)


def prepared(name, height, width):
    return torch.from_numpy(model_preprocessing(name, 0).prepare(picture(height, width)))


def test_logits_have_the_size_of_the_prepared_pictures(name, net):
    images = torch.cat([prepared(name, 128, 65)] * 2)
    with torch.no_grad():
        logits = net.eval()(images)
    assert logits.shape == (2, 5, *images.shape[2:])
    assert logits.dtype == torch.float32
    torch.testing.assert_close(logits[0], logits[1], rtol=1e-3, atol=1e-4)  # some CPUs sum the second otherwise


@pytest.mark.parametrize(("height", "width"), [(37, 53), (1, 1), (2, 70)])
def test_pictures_of_odd_sizes_get_finite_logits_of_their_own_size(name, net, height, width):
    with torch.no_grad():
        logits = net.eval()(prepared(name, height, width)).numpy()
    ((_, restored),) = model_preprocessing(name, 0).restore_rows([logits], height, width, NumpyArrays())
    assert restored.shape == (1, 5, height, width)
    assert np.isfinite(restored).all()


def test_training_on_one_small_picture_reaches_every_parameter(name, net):
    net.train().zero_grad()
    net(prepared(name, 37, 53)).square().mean().backward()
    trained = {key: parameter for key, parameter in net.named_parameters() if parameter.requires_grad}
    left_out = {key for key, parameter in trained.items() if parameter.grad is None}
    # PSPNet reads features of 1/8 alone; timm's EfficientNet keeps its deeper blocks all the same.
    deeper = ("encoder.model.blocks.3", "encoder.model.blocks.4", "encoder.model.blocks.5", "encoder.model.blocks.6")
    assert not {key for key in left_out if name != "pspnet:efficientnet_lite0" or not key.startswith(deeper)}
    assert all(parameter.grad.isfinite().all() for key, parameter in trained.items() if key not in left_out)


def test_feature_extractor_is_all_but_the_decoder_and_head(name, net):
    extractor = {id(parameter) for parameter in feature_extractor(net, name).parameters()}
    rest = {key.split(".")[0] for key, parameter in net.named_parameters() if id(parameter) not in extractor}
    assert extractor
    assert rest == ({"classifier"} if name in MODELS else {"decoder", "segmentation_head"})


@pytest.mark.parametrize("name", ["lraspp_mobilenet_v3_large", "linknet:test_resnet"])
def test_weights_depend_on_the_seed_alone(name):
    torch.manual_seed(1)
    first = build_model(name, 5, seed=3).state_dict()
    torch.manual_seed(2)
    again, other = build_model(name, 5, seed=3).state_dict(), build_model(name, 5, seed=4).state_dict()
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


def test_building_leaves_the_global_randomness_alone():
    before = torch.get_rng_state()
    build_model("linknet:test_resnet", 5)
    assert torch.equal(torch.get_rng_state(), before)


def test_state_dict_of_deeplabv3_resnet101_is_that_of_torchvision():
    with torch.device("meta"):
        expected = segmentation.deeplabv3_resnet101(weights=None, weights_backbone=None, aux_loss=False)
        expected.classifier = DeepLabHead(2048, 5)
        found = build_model("deeplabv3_resnet101", 5).state_dict()
    assert [(key, tensor.shape) for key, tensor in found.items()] == [
        (key, tensor.shape) for key, tensor in expected.state_dict().items()
    ]


def test_logits_of_deeplabv3_are_those_of_torchvision():
    ours = build_model("deeplabv3_mobilenet_v3_large", 21).eval()
    theirs = segmentation.deeplabv3_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=21).eval()
    theirs.load_state_dict(ours.state_dict())
    images = torch.rand(1, 3, 65, 97, generator=torch.manual_seed(0))
    with torch.no_grad():
        assert torch.equal(ours(images), theirs(images)["out"])


UNKNOWN = {
    "deeplabv3_resnet110": "deeplabv3_resnet101",
    "": "'segtune models' lists all",
    "deeplabv3plus": "A decoder needs an encoder: deeplabv3plus:efficientnet_lite0",
    "deeplabv3pluss:efficientnet_lite0": "Did you mean deeplabv3plus",
    "deeplabv3plus:efficientnet_lite": "Did you mean efficientnet_lite0 or",
    ":efficientnet_lite0": "'segtune models' lists all",
    "unet:resnet19": "resnet18",
    "unet:efficientnet_lite00": "efficientnet_lite0",
    "unet:resnet18.a1_in2k": "resnet18.a1_in1k",
    "unet:": "'segtune models WORD'",
    "unet:hf-hub:foo/bar": "'segtune models WORD'",
    "unet:hf_hub:timm/resnet18.a1_in1k": "'segtune models WORD'",
    "unet:local-dir:/tmp": "'segtune models WORD'",
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_unknown_names_raise_with_the_nearest_and_without_network(name, monkeypatch):
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("the network was used"))
    with pytest.raises(UserError) as caught:
        build_model(name, 5)
    assert repr(name) in caught.value.message or repr(name.partition(":")[2]) in caught.value.message
    assert UNKNOWN[name] in caught.value.hint


UNFIT = [
    ("unet:test_vit", "can't be used under unet"),
    ("deeplabv3plus-smp:pvt_v2_b0", "can't be used under deeplabv3plus-smp"),
    ("deeplabv3plus:legacy_xception", "can't be used under deeplabv3plus"),
    ("fpn:inception_v3", "can't be used under fpn"),
    ("fpn:efficientformerv2_s0", "can't be used under fpn"),
]


@pytest.mark.parametrize(("name", "message"), UNFIT)
def test_encoders_that_do_not_fit_raise_when_the_model_is_built(name, message):
    with pytest.raises(UserError, match=message) as caught:
        build_model(name, 5)
    assert "deeplabv3plus:efficientnet_lite0" in caught.value.hint


def test_preprocessing_is_that_of_the_published_weights():
    assert model_preprocessing("deeplabv3_resnet101", 0).mean == (0.485, 0.456, 0.406)
    assert model_preprocessing("deeplabv3plus:efficientnet_lite0", 0).mean == (0.5, 0.5, 0.5)
    assert model_preprocessing("unet:resnet18", 640).longest_side == 640


def test_entries_name_the_source_and_the_licence_of_the_weights():
    assert "COCO_WITH_VOC_LABELS_V1" in find_model("deeplabv3_resnet101").weights
    assert find_model("unet:resnet18").weights.startswith("timm/resnet18")
    assert find_model("fpn:efficientnet_lite0").licence == "Apache-2.0"


def pooled_norm(net):
    return net.classifier[0].convs[-1][2]


@pytest.mark.parametrize("name", ["deeplabv3plus:resnest14d", "unet:skresnet18"])
def test_attention_in_encoders_trains_on_one_picture(name):
    assert build_model(name, 3).train()(torch.rand(1, 3, 64, 64)).isfinite().all()


def test_pooled_batch_norm_of_one_picture_keeps_its_statistics():
    net = build_model("deeplabv3_mobilenet_v3_large", 5).train()
    net(torch.rand(1, 3, 32, 32))
    assert not pooled_norm(net).running_mean.any()
    net(torch.rand(2, 3, 32, 32))
    assert pooled_norm(net).running_mean.any()


@pytest.mark.parametrize("side", [2, 3], ids=["height", "width"])
def test_what_a_net_says_of_a_place_does_not_depend_on_the_size_of_the_picture(side):
    """Further from the edges than any layer reaches; what is pooled over the whole picture is left out."""
    net = build_model("deeplabv3plus:efficientnet_lite0", 3).eval()
    for module in net.modules():
        if isinstance(module, torch.nn.AdaptiveAvgPool2d):
            module.register_forward_hook(lambda *_: torch.zeros_like(_[2]))
    picture = torch.randn(1, 3, 96, 1600, generator=torch.Generator().manual_seed(0))
    picture = picture if side == 3 else picture.mT
    with torch.inference_mode():
        whole, part = net(picture), net(picture.narrow(side, 64, 1472))
    torch.testing.assert_close(part.narrow(side, 704, 64), whole.narrow(side, 768, 64), rtol=0, atol=1e-4)
    assert (whole.narrow(side, 736, 64) - whole.narrow(side, 768, 64)).abs().max() > 0.01 * whole.std()


@pytest.mark.parametrize("decoder", sorted(DECODERS.keys() - {"deeplabv3plus-smp", "pspnet"}))
def test_features_are_upsampled_without_aligned_corners(decoder, monkeypatch):
    aligned = []
    interpolate = functional.interpolate

    def noting(*values, **options):
        aligned.append(options.get("align_corners"))
        return interpolate(*values, **options)

    net = build_model(f"{decoder}:resnet18", 3).eval()
    monkeypatch.setattr(functional, "interpolate", noting)
    with torch.no_grad():
        assert net(torch.zeros(1, 3, 128, 128)).shape == (1, 3, 128, 128)
    assert True not in aligned
