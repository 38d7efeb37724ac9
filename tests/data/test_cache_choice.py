"""Where 'auto' keeps decoded pictures, and the facts that it depends on."""

import pytest
from PIL import Image

from segtune.annotations.dataset_folder import find_pairs
from segtune.data.cache import CacheFacts, choose_cache, measure_cache
from segtune.machine import free_memory
from segtune.preprocessing import Preprocessing

GB = 2**30


@pytest.mark.parametrize(
    ("total", "memory", "shared", "disk", "num_workers", "chosen"),
    [
        (1, 4, 4, 9, 2, "ram"),
        (1, 4, 0, 9, 0, "ram"),
        (1, 4, 0, 9, 2, "disk"),
        (2, 4, 4, 4, 2, "disk"),
        (2, 4, 4, 3, 2, "none"),
        (1, 0, 0, 2, 0, "disk"),
        (1, 0, 0, 1, 0, "none"),
    ],
)
def test_auto_is_the_fastest_cache_that_leaves_room(total, memory, shared, disk, num_workers, chosen):
    assert choose_cache(CacheFacts(total * GB, memory * GB, shared * GB, disk * GB), num_workers) == chosen


def test_sizes_are_measured_as_pictures_are_shown_and_shrunk(dataset):
    turned = dataset / "train" / "Images" / "000.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(turned).save(turned, exif=exif)
    facts = measure_cache(find_pairs(dataset, "train"), Preprocessing(longest_side=64))
    assert facts.total_bytes == 6 * 64 * 48 * 4
    assert facts.free_memory > 0
    assert facts.free_disk > 0


@pytest.mark.parametrize(
    ("limit", "used", "free"),
    [("max", "1", 9_000 * 1024), ("5000", "2000", 3500), ("5", "900", 0), ("x", "", 9_000 * 1024)],
)
def test_free_memory_is_within_the_containers_limit(tmp_path, limit, used, free):
    for name, text in (
        ("proc/meminfo", "MemTotal: 10000 kB\nMemAvailable: 9000 kB\n"),
        ("sys/fs/cgroup/memory.max", limit),
        ("sys/fs/cgroup/memory.current", used),
        ("sys/fs/cgroup/memory.stat", "anon 700\ninactive_file 500\n"),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert free_memory(tmp_path) == free
