"""State dicts of the original project and of other tools become model files, or are refused with what does not fit."""

import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import segmentation_models_pytorch as smp
import torch
from torchvision.models import segmentation
from torchvision.models.segmentation.deeplabv3 import DeepLabHead

from segtune.config import ImportWeightsConfig
from segtune.errors import DataError, UserError
from segtune.foreign_weights import import_weights
from segtune.model_file import load_model

MOBILE = "deeplabv3_mobilenet_v3_large"


def original_state(build, channels, num_classes=5):
    """What the original project saves: torchvision's net without its auxiliary classifier, with a new head."""
    net = build(weights=None, weights_backbone=None, aux_loss=False)
    net.classifier = DeepLabHead(channels, num_classes)
    return net.state_dict()


@pytest.fixture(scope="module")
def state():
    return original_state(segmentation.deeplabv3_mobilenet_v3_large, 960)


def config(folder, state, **options):
    """An import of ``state``, saved as a .pth in ``folder``."""
    torch.save(state, folder / "original.pth")
    defaults = {"architecture": MOBILE, "num_classes": 5}
    return ImportWeightsConfig(folder / "original.pth", folder / "m.safetensors", **defaults | options)


def prefixed(prefix, state):
    return {f"{prefix}{key}": tensor for key, tensor in state.items()}


def with_auxiliary(state):
    return state | {"aux_classifier.0.weight": torch.zeros(10, 40, 3, 3), "aux_classifier.4.bias": torch.zeros(21)}


SAVED = {
    "plain": lambda state: state,
    "export wrapper": lambda state: prefixed("model.", state),
    "data parallel": lambda state: prefixed("module.", state),
    "both": lambda state: prefixed("module.model.", state),
    "auxiliary classifier": with_auxiliary,
    "wrapped auxiliary classifier": lambda state: prefixed("model.", with_auxiliary(state)),
    "checkpoint": lambda state: {"epoch": 25, "model_state_dict": state},
}


@pytest.mark.parametrize("what", SAVED)
def test_saved_state_becomes_a_model_file_with_the_same_tensors(what, state, tmp_path):
    made = import_weights(config(tmp_path, SAVED[what](state)))
    loaded = load_model(tmp_path / "m.safetensors")
    assert loaded.net.state_dict().keys() == state.keys()
    assert all(torch.equal(tensor, state[key]) for key, tensor in loaded.net.state_dict().items())
    assert (made.architecture, loaded.architecture) == (MOBILE, MOBILE)
    assert loaded.classes.names == ("class_0", "class_1", "class_2", "class_3", "class_4")
    assert loaded.preprocessing.longest_side == 0
    assert loaded.weights["source"] == "original.pth"


def test_default_model_is_the_original_s():
    state = original_state(segmentation.deeplabv3_resnet101, 2048)
    with tempfile.TemporaryDirectory() as folder:  # not tmp_path: half a gigabyte would stay there
        torch.save(prefixed("model.", state), Path(folder) / "original.pth")
        target = Path(folder) / "model.safetensors"
        made = import_weights(ImportWeightsConfig(Path(folder) / "original.pth", target, num_classes=5))
        written = safetensors.torch.load_file(target)
    assert made.architecture == "deeplabv3_resnet101"
    assert written.keys() == state.keys()
    assert all(torch.equal(tensor, written[key]) for key, tensor in state.items())


def test_class_names_are_stored_and_give_the_number_of_classes(state, tmp_path):
    names = "background, person,airplane,ground,sky"
    import_weights(config(tmp_path, state, num_classes=None, classes=names))
    expected = ("background", "person", "airplane", "ground", "sky")
    assert load_model(tmp_path / "m.safetensors").classes.names == expected


def test_wrong_number_of_classes_names_the_head_and_the_file_s_number(tmp_path):
    state = original_state(segmentation.deeplabv3_mobilenet_v3_large, 960, num_classes=21)
    with pytest.raises(DataError) as caught:
        import_weights(config(tmp_path, state))
    assert caught.value.problems == [
        "classifier.4.weight has shape (21, 256, 1, 1), expected (5, 256, 1, 1): the file is for 21 classes",
        "classifier.4.bias has shape (21,), expected (5,): the file is for 21 classes",
    ]
    assert "--num-classes" in caught.value.hint
    assert not (tmp_path / "m.safetensors").exists()


def without(state, *names):
    return {key: tensor for key, tensor in state.items() if key not in names}


MISFITS = {
    "missing": (lambda state: without(state, "classifier.4.bias"), ["classifier.4.bias is missing"]),
    "extra": (lambda state: state | {"more.a": torch.zeros(1)}, ["more.a is not part of the model"]),
    "other shape": (
        lambda state: state | {"backbone.0.1.bias": torch.zeros(8)},
        ["backbone.0.1.bias has shape (8,), expected (16,)"],
    ),
    "renamed": (
        lambda state: without(state, "classifier.4.bias") | {"head.bias": state["classifier.4.bias"]},
        ["classifier.4.bias is missing", "head.bias is not part of the model"],
    ),
}


@pytest.mark.parametrize("what", MISFITS)
def test_tensors_that_do_not_fit_are_all_named(what, state, tmp_path):
    spoil, problems = MISFITS[what]
    with pytest.raises(DataError, match=r"original\.pth does not fit deeplabv3_mobilenet_v3_large with 5") as caught:
        import_weights(config(tmp_path, spoil(state)))
    assert caught.value.problems == problems
    assert not (tmp_path / "m.safetensors").exists()


def test_deeplabv3plus_of_segmentation_models_pytorch_has_a_name_of_its_own(tmp_path):
    state = smp.DeepLabV3Plus("tu-tf_efficientnet_lite0", encoder_weights=None, classes=5).state_dict()
    with pytest.raises(DataError) as caught:
        import_weights(config(tmp_path, state, architecture="deeplabv3plus:efficientnet_lite0"))
    assert "deeplabv3plus-smp:efficientnet_lite0" in caught.value.hint
    made = import_weights(config(tmp_path, state, architecture="deeplabv3plus-smp:efficientnet_lite0"))
    assert made.architecture == "deeplabv3plus-smp:efficientnet_lite0"


def test_state_of_another_model_is_refused_in_few_lines(state, tmp_path):
    with pytest.raises(DataError) as caught:
        import_weights(config(tmp_path, state, architecture="linknet:test_resnet"))
    assert len(caught.value.problems) == 13
    assert caught.value.problems[0] == "encoder.model.conv1.0.weight is missing"
    assert caught.value.problems[-1].startswith("and ")


def test_existing_target_is_replaced_only_when_told(state, tmp_path):
    (tmp_path / "m.safetensors").write_bytes(b"precious")
    with pytest.raises(UserError, match=r"m\.safetensors already exists") as caught:
        import_weights(config(tmp_path, state))
    assert "--overwrite" in caught.value.hint
    assert (tmp_path / "m.safetensors").read_bytes() == b"precious"
    import_weights(config(tmp_path, state, overwrite=True))
    assert load_model(tmp_path / "m.safetensors").classes.num_classes == 5


def test_refused_import_leaves_the_target_alone(tmp_path):
    (tmp_path / "m.safetensors").write_bytes(b"precious")
    with pytest.raises(UserError):
        import_weights(config(tmp_path, {"a": torch.zeros(1)}, overwrite=True))
    assert (tmp_path / "m.safetensors").read_bytes() == b"precious"


OPTIONS = [
    ({"num_classes": None}, "number of classes is not known"),
    ({"num_classes": 0}, "number of classes"),
    ({"num_classes": -1}, "0 classes; 1 to 255"),
    ({"num_classes": 4, "classes": "a,b,c"}, "--classes names 3 classes, --num-classes says 4"),
    ({"num_classes": None, "classes": "a,b,a"}, "repeated: a"),
    ({"num_classes": 300}, "300 classes"),
    ({"architecture": "deeplabv3_mobilenet"}, "There is no model"),
]


@pytest.mark.parametrize(("options", "message"), OPTIONS)
def test_options_that_make_no_sense_are_refused(options, message, tmp_path):
    with pytest.raises(UserError, match=message):
        import_weights(config(tmp_path, {"a": torch.zeros(1)}, **options))


def test_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"There is no weights file .*none\.pth"):
        import_weights(ImportWeightsConfig(tmp_path / "none.pth", tmp_path / "m.safetensors", MOBILE, 5))


def test_whole_pickled_net_is_refused_unread(tmp_path):
    with pytest.raises(UserError, match="can't be read as weights") as caught:
        import_weights(config(tmp_path, torch.nn.Linear(2, 2)))
    assert "state_dict()" in caught.value.hint


@pytest.mark.parametrize("name", ["mymodel", "mymodel.pth", "original.pth"])
def test_other_names_than_model_files_have_are_refused(state, tmp_path, name):
    with pytest.raises(UserError, match="no name for the model file"):
        import_weights(replace(config(tmp_path, state), model=tmp_path / name, overwrite=True))
