"""A model file gives back what was saved, and nothing else is taken for one."""

import json

import pytest
import safetensors.torch
import torch
from safetensors import safe_open

from segtune.classes import ClassTable
from segtune.description import FORMAT_VERSION, HEADER
from segtune.errors import UserError
from segtune.model_file import Model, load_model, read_header, save_model
from segtune.models.catalog import build_model, model_preprocessing

CLASSES = ClassTable(("sky", "ground", "ein Flugzeug ✈"), ((1, 2, 3), (255, 0, 0), (0, 0, 255)), 11, ("ground", "sky"))


@pytest.fixture(scope="module")
def model():
    return Model(
        build_model("linknet:test_resnet", 3, seed=5),
        "linknet:test_resnet",
        CLASSES,
        model_preprocessing("linknet:test_resnet", 640),
        scores={"mean_iou": 0.75, "class_iou": [0.5, None, 1.0]},
        weights={"source": "random", "licence": ""},
        training={"epochs": 3, "class_weights": [1.0, 2.0, 1.0]},
    )


@pytest.fixture(scope="module")
def content(model, tmp_path_factory):
    """The bytes of its file."""
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    save_model(path, model)
    return path.read_bytes()


@pytest.fixture
def path(content, tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    return path


def header_of(path):
    with safe_open(path, "pt") as file:
        return json.loads(file.metadata()[HEADER])


def write(path, tensors, header):
    safetensors.torch.save_file(tensors, path, {HEADER: json.dumps(header)})


def test_load_gives_back_all_that_was_saved(model, path):
    loaded = load_model(path)
    for name in ("architecture", "classes", "preprocessing", "scores", "weights", "training"):
        assert getattr(loaded, name) == getattr(model, name)
    expected = model.net.state_dict()
    assert list(loaded.net.state_dict()) == list(expected)
    assert all(torch.equal(tensor, expected[key]) for key, tensor in loaded.net.state_dict().items())
    assert not any(module.training for module in loaded.net.modules())


def test_loaded_net_computes_the_same_logits(model, path):
    images = torch.rand(1, 3, 64, 96, generator=torch.manual_seed(0))
    with torch.no_grad():
        assert torch.equal(load_model(path).net(images), model.net.eval()(images))


def test_header_says_all_that_prediction_needs(path):
    header = header_of(path)
    assert header == read_header(path)
    assert header["format_version"] == FORMAT_VERSION == 1
    assert header["architecture"] == {"name": "linknet:test_resnet", "num_classes": 3}
    assert header["classes"]["classes"][2] == {"id": 2, "name": "ein Flugzeug ✈", "color": [0, 0, 255]}
    assert header["classes"]["ignore_value"] == 11
    assert header["classes"]["paint_order"] == ["ground", "sky"]
    assert header["preprocessing"].keys() == {"mean", "std", "size_multiple", "longest_side", "enlarge"}
    assert header["preprocessing"]["longest_side"] == 640
    assert header["scores"]["class_iou"] == [0.5, None, 1.0]
    assert header["weights"] == {"source": "random", "licence": ""}


def test_tensors_have_the_names_of_the_state_dict(model, path):
    tensors = safetensors.torch.load_file(path)
    assert tensors.keys() == model.net.state_dict().keys()


def test_same_model_gives_the_same_file(model, content, tmp_path):
    save_model(tmp_path / "again.safetensors", model)
    assert (tmp_path / "again.safetensors").read_bytes() == content


NO_MODEL_FILES = {
    "empty": lambda _: b"",
    "random": lambda _: bytes(range(256)) * 9,
    "text": lambda _: b"no model at all",
    "truncated tensors": lambda content: content[:-1],
    "truncated header": lambda content: content[:99],
    "huge header": lambda content: b"\xff" * 7 + b"\x7f" + content[8:],
    "no header of segtune": lambda _: safetensors.torch.save({"a": torch.zeros(2)}),
    "header of another tool": lambda _: safetensors.torch.save({"a": torch.zeros(2)}, {"format": "pt"}),
    "header is no JSON": lambda _: safetensors.torch.save({"a": torch.zeros(2)}, {HEADER: "{'a': 1}"}),
    "header is a list": lambda _: safetensors.torch.save({"a": torch.zeros(2)}, {HEADER: "[1]"}),
    "header without version": lambda _: safetensors.torch.save({"a": torch.zeros(2)}, {HEADER: "{}"}),
    "header nested deep": lambda _: safetensors.torch.save({"a": torch.zeros(2)}, {HEADER: "[" * 10**5}),
}


@pytest.mark.parametrize("what", NO_MODEL_FILES)
def test_other_files_are_not_model_files(what, content, tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(NO_MODEL_FILES[what](content))
    with pytest.raises(UserError, match="is not a segtune model file") as caught:
        load_model(path)
    assert str(path) in caught.value.message
    assert "segtune train" in caught.value.hint


@pytest.mark.parametrize("name", ["missing.safetensors", "."])
def test_paths_that_are_no_files_raise(name, tmp_path):
    with pytest.raises(UserError, match="There is no model file"):
        load_model(tmp_path / name)


def one_class_less(header):
    header["classes"]["classes"].pop()
    header["architecture"]["num_classes"] = 2


def one_class_more(header):
    header["classes"]["classes"].append({"id": 3, "name": "more", "color": [9, 9, 9]})
    header["architecture"]["num_classes"] = 4


HEADERS = {
    "newer format": (lambda header: header.update(format_version=2), "newer segtune"),
    "class less": (one_class_less, "don't fit"),
    "class more": (one_class_more, "don't fit"),
    "class count contradicts": (
        lambda header: header["architecture"].update(num_classes=7),
        "names 3 classes and counts 7",
    ),
    "unknown model": (lambda header: header["architecture"].update(name="linknet2:test_resnet"), "no decoder"),
    "model from the network": (lambda header: header["architecture"].update(name="unet:hf-hub:a/b"), "no encoder"),
    "other model": (lambda header: header["architecture"].update(name="unet:test_resnet"), "don't fit"),
    "no model": (lambda header: header.pop("architecture"), "not complete \\('architecture'"),
    "model is a list": (lambda header: header.update(architecture=[]), "not complete"),
    "no classes": (lambda header: header.pop("classes"), "not complete \\('classes'"),
    "classes are a number": (lambda header: header.update(classes=5), "not a class table"),
    "no preprocessing": (lambda header: header.pop("preprocessing"), "not complete \\('preprocessing'"),
    "zero std": (lambda header: header["preprocessing"].update(std=[0, 1, 1]), "impossible values"),
    "two means": (lambda header: header["preprocessing"].update(mean=[0, 1]), "no valid preprocessing"),
    "size multiple": (lambda header: header["preprocessing"].update(size_multiple=1), "size multiple"),
    "no scores": (lambda header: header.pop("scores"), "not complete \\('scores'"),
}


@pytest.mark.parametrize("what", HEADERS)
def test_headers_that_make_no_sense_raise(what, path):
    change, message = HEADERS[what]
    header = header_of(path)
    change(header)
    write(path, safetensors.torch.load_file(path), header)
    with pytest.raises(UserError, match=message) as caught:
        load_model(path)
    assert caught.value.hint


def without(tensors, name):
    return {key: tensor for key, tensor in tensors.items() if key != name}


HEAD = "segmentation_head.0.weight"
TENSORS = {
    "missing": lambda tensors: without(tensors, HEAD),
    "extra": lambda tensors: tensors | {"more.weight": torch.zeros(1)},
    "other shape": lambda tensors: tensors | {HEAD: tensors[HEAD][:, :-1].contiguous()},
    "none": lambda _: {},
}


@pytest.mark.parametrize("what", TENSORS)
def test_tensors_that_do_not_fit_raise(what, path):
    write(path, TENSORS[what](safetensors.torch.load_file(path)), header_of(path))
    with pytest.raises(UserError, match="its tensors don't fit linknet:test_resnet"):
        load_model(path)


def test_tensors_that_torch_does_not_know_raise(path):
    """Six bits a value: the file is sound, but torch has no such type."""
    entries = {"__metadata__": {HEADER: json.dumps(header_of(path))}}
    entries["x"] = {"dtype": "F6_E2M3", "shape": [4], "data_offsets": [0, 3]}
    text = json.dumps(entries).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(3))
    with pytest.raises(UserError, match="its tensors can't be read"):
        load_model(path)


def test_missing_tensor_is_named(path):
    write(path, without(safetensors.torch.load_file(path), HEAD), header_of(path))
    with pytest.raises(UserError, match=HEAD):
        load_model(path)


def test_full_disk_leaves_the_last_good_file_alone(model, content, path):
    resource = pytest.importorskip("resource", reason="file size limits are POSIX's")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(content) // 2, hard))
    try:
        with pytest.raises(UserError, match=r"model\.safetensors could not be written"):
            save_model(path, model)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == content
    assert list(path.parent.iterdir()) == [path]


def test_target_that_can_not_be_written_raises(model, path):
    for target in (path / "model.safetensors", path.parent):
        with pytest.raises(UserError, match="could not be written"):
            save_model(target, model)
    assert list(path.parent.iterdir()) == [path]


def test_save_makes_the_folder_and_replaces_an_older_file(model, tmp_path, content):
    target = tmp_path / "a" / "b" / "model.safetensors"
    save_model(target, model)
    target.write_bytes(b"older")
    save_model(target, model)
    assert target.read_bytes() == content
