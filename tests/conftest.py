"""Small real data for all tests."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segtune.classes import class_table, write_classes

# The same on all machines: bytes and scores are compared. Where a GPU shall be tested, the variable says which.
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

COLORS = np.array([[200, 60, 40], [40, 160, 60], [50, 80, 200]], np.uint8)


@pytest.fixture(scope="session", autouse=True)
def cache_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Decoded pictures don't go to the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with the real pictures; tests that need it are skipped where it is not."""
    default = Path(__file__).parents[2] / "shared"
    folder = Path(os.environ.get("SEGTUNE_TEST_DATA", default))
    missing = [name for name in ("annotation-samples", "camvid", "skydiving") if not (folder / name).is_dir()]
    if missing:
        pytest.skip(f"{', '.join(missing)} is not at {folder}; set SEGTUNE_TEST_DATA to its place")
    return folder


def draw(seed: int, height: int = 72, width: int = 96) -> tuple[np.ndarray, np.ndarray]:
    """A picture of coloured areas with noise, and its labels: class 1 above, class 2 in a box, class 0 elsewhere."""
    generator = np.random.default_rng(seed)
    labels = np.zeros((height, width), np.uint8)
    labels[: generator.integers(height // 4, height // 2)] = 1
    top, left = generator.integers(0, height // 2), generator.integers(0, width // 2)
    labels[top : top + height // 3, left : left + width // 3] = 2
    noise = generator.normal(0, 12, (height, width, 3))
    return np.clip(COLORS[labels] + noise, 0, 255).astype(np.uint8), labels


def write_dataset(folder: Path, num_train: int = 6, num_val: int = 3, height: int = 72, width: int = 96) -> Path:
    """A dataset folder of three classes with names."""
    for split, seeds in (("train", range(num_train)), ("val", range(100, 100 + num_val))):
        for kind in ("Images", "Labels"):
            (folder / split / kind).mkdir(parents=True)
        for seed in seeds:
            picture, labels = draw(seed, height, width)
            Image.fromarray(picture).save(folder / split / "Images" / f"{seed:03}.jpg", quality=95)
            Image.fromarray(labels).save(folder / split / "Labels" / f"{seed:03}.png")
    write_classes(folder / "classes.yaml", class_table(["floor", "wall", "box"]))
    return folder


@pytest.fixture(scope="session")
def make_dataset() -> Callable[..., Path]:
    """The function above, for tests that make datasets of their own."""
    return write_dataset


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """A small dataset folder of one's own to spoil."""
    return write_dataset(tmp_path / "dataset")


@pytest.fixture(scope="session")
def trained_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder made by a real, short training; to be read only."""
    from segtune.config import TrainConfig
    from segtune.training.train import train

    folder = tmp_path_factory.mktemp("trained")
    data = write_dataset(folder / "dataset", num_train=8)
    config = TrainConfig(
        data, folder / "run", model="deeplabv3plus:efficientnet_lite0", epochs=12, batch_size=4, crop=64
    )
    train(config)
    return folder / "run"
