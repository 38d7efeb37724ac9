"""What the machine has for this process."""

import os
import shutil
import sysconfig
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

RUNNING_NOW = Path("/proc/loadavg")
"""Linux's; its fourth field is "threads that could run now/all threads of the machine" (man 5 proc)."""
LOOKS, SECONDS_BETWEEN = 4, 0.005
"""How often that is read: what runs for a moment is no busy machine."""


def usable_cpus() -> int:
    """Processors that this process may use, which a scheduler may have made fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def can_compile() -> bool:
    """Whether torch.compile finds what makes CUDA's kernels: Triton, and a C compiler and Python's headers for that."""
    has_compiler = bool(os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang"))
    # Where Debian's Python says that its headers are, none ever are; Triton looks there as well.
    scheme = sysconfig.get_default_scheme().replace("posix_local", "posix_prefix")
    headers = Path(sysconfig.get_paths(scheme=scheme)["include"])
    return find_spec("triton") is not None and has_compiler and (headers / "Python.h").exists()


def share_processors() -> None:
    """Beside other busy programs, have torch's threads sleep where they wait for each other; before torch is imported.

    They spin, which is a quarter faster where the processors are theirs. But a thread that spins uses up its turn, so
    that beside one other busy program each of the thousands of waits of a step takes milliseconds: a step of 1 s took
    2.8 s on 2 cores then, and 1.7 s with threads that sleep. Who has chosen keeps that.
    """
    if others_running() + usable_cpus() > (os.cpu_count() or 1):
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def others_running() -> int:
    """Threads of other programs that could run now, on all of the machine; 0 where the system does not tell."""
    looks = []
    for _ in range(LOOKS):
        try:
            running = int(RUNNING_NOW.read_text().split()[3].partition("/")[0])
        except (OSError, ValueError, IndexError):
            return 0
        looks.append(running - 1)  # this one
        time.sleep(SECONDS_BETWEEN)
    return max(0, min(looks))


def free_memory(system: Path = Path("/")) -> int:
    """Bytes of memory that can be taken without swapping, within a container's limit; 0 where that isn't known.

    Args:
        system: The root of /proc and /sys.

    Source: proc_meminfo(5); cgroup v2 and v1 memory controllers in the kernel's documentation.
    """
    try:
        lines = (system / "proc/meminfo").read_text().splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError, IndexError):
        return _free_pages()
    groups = system / "sys/fs/cgroup"
    for folder, limit, used in (
        (groups, "memory.max", "memory.current"),
        (groups / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
    ):
        with suppress(OSError, ValueError):  # no such controller, or no limit: 'max'
            counts = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
            # Files that were read lately count as used, but give way.
            taken = int((folder / used).read_text()) - int(counts.get("inactive_file", 0))
            free = min(free, max(0, int((folder / limit).read_text()) - taken))
    return free


def _free_pages() -> int:
    """Free memory as systems without /proc may tell it."""
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return 0
