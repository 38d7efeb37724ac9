"""A model file in ONNX Runtime where that is faster: exported once, kept in the cache by the content of the model."""

import hashlib
import json
import tempfile
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import torch

from segtune.arrays import Array
from segtune.console import messages
from segtune.data.cache_folder import session_folder
from segtune.errors import UserError
from segtune.files import sha256, write_bytes
from segtune.model_file import Model
from segtune.out_of_memory import shortage_told
from segtune.runtimes.backend import MIN_EQUAL, Backend, Interface
from segtune.runtimes.eager import Eager, eager_backend
from segtune.runtimes.onnx_runtime import OnnxRuntime, has_onnxruntime
from segtune.runtimes.write_torch import write_onnx

VERSION = 4
"""Of what is done here: another one asks for new files."""

MIN_SPEED = 1.1
"""ONNX Runtime is taken where it is so many times as fast."""

TEST_SIDE, ROUNDS = 352, 4


def can_use_onnxruntime() -> bool:
    """Whether what is needed to export and to run is installed."""
    return has_onnxruntime() and find_spec("onnx") is not None


@dataclass(frozen=True)
class Verdict:
    """What was found when a model was tried in ONNX Runtime.

    Attributes:
        equal: The share of pixels to which it gives the class that torch does.
        speed: How many times as fast as torch it was.
    """

    equal: float
    speed: float


def faster_backend(path: Path, model: Model) -> Backend | None:
    """The model in ONNX Runtime, or None where that is not faster here, not equal, or not possible."""
    try:
        with shortage_told(lambda: UserError("Memory is out.")):
            verdict, session = _tried(path, model, MIN_SPEED)
    except (UserError, OSError):  # no room for temporary files, for instance
        return None
    return session if verdict.equal >= MIN_EQUAL and verdict.speed >= MIN_SPEED else None


def onnx_backend(path: Path, model: Model) -> Backend:
    """The model in ONNX Runtime, however fast that is.

    Raises:
        UserError: It can't be exported, or gives other classes.
    """
    verdict, session = _tried(path, model)
    if session is None:
        raise UserError(
            f"In ONNX Runtime {path} gives only {verdict.equal:.2%} of the pixels the same class.",
            "Use --backend eager.",
        )
    return session


def _tried(path: Path, model: Model, min_speed: float = 0.0) -> tuple[Verdict, OnnxRuntime | None]:
    """What is known of the model in ONNX Runtime, and its session, unless it is not equal, or known to be slower.

    Raises:
        UserError: It can't be exported.
    """
    key = _key(path)
    kept = session_folder() / f"{key}.onnx"
    written = session_folder() / f"{key}.json"
    with suppress(UserError, OSError, ValueError, TypeError):
        verdict = Verdict(**json.loads(written.read_text()))
        is_wanted = verdict.equal >= MIN_EQUAL and verdict.speed >= min_speed
        return verdict, OnnxRuntime(kept) if is_wanted else None
    messages.print("Preparing the model for ONNX Runtime, once; '--backend eager' does without.")
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "model.onnx"
        write_onnx(made, model, Interface())
        content = made.read_bytes()
    session = OnnxRuntime(content, name=str(path))
    verdict = _measured(eager_backend(model, torch.device("cpu")), session, model)
    with suppress(UserError):  # a cache that can't be written only costs time
        if verdict.equal >= MIN_EQUAL:
            write_bytes(kept, content)
        write_bytes(written, json.dumps(asdict(verdict)).encode())
    return verdict, session if verdict.equal >= MIN_EQUAL else None


def _key(path: Path) -> str:
    """What the session depends on: the model's content, and what computes it."""
    import onnxruntime

    parts = VERSION, sha256(path), torch.__version__, onnxruntime.__version__, torch.get_num_threads()
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _measured(eager: Eager, session: OnnxRuntime, model: Model) -> Verdict:
    images = replace(model.preprocessing, enlarge=1).prepare(_picture())
    seconds: dict[str, list[float]] = {"eager": [], "session": []}
    answers = {}
    # One after the other, not in turns: for a while after its work torch's threads wait actively, and slow others down.
    for name, backend in (("session", session), ("eager", eager)):
        for _ in range(ROUNDS):
            start = time.perf_counter()
            answers[name] = np.asarray(backend.run(images))
            seconds[name].append(time.perf_counter() - start)
    equal = float((answers["eager"].argmax(axis=1) == answers["session"].argmax(axis=1)).mean())
    return Verdict(equal, min(seconds["eager"]) / min(seconds["session"]))


def _picture() -> Array:
    """Smooth areas with noise, uint8 (H, W, 3): about as even as a photo."""
    generator = np.random.default_rng(0)
    coarse = generator.integers(0, 256, (9, 9, 3)).astype(np.uint8)
    smooth = cv2.resize(coarse, (TEST_SIDE, TEST_SIDE), interpolation=cv2.INTER_CUBIC)
    picture: Array = np.clip(smooth + generator.normal(0, 8, smooth.shape), 0, 255).astype(np.uint8)
    return picture
