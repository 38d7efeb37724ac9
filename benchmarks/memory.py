"""Memory of a process, as the system counts it."""

import re
from pathlib import Path


def resident_mb(pid: int | str = "self") -> float:
    """What a process has in memory now."""
    return _status("VmRSS", pid)


def peak_mb(pid: int | str = "self") -> float:
    """The most that a process has had in memory.

    Not getrusage's: that one begins with what the process had which started this one.
    """
    return _status("VmHWM", pid)


def _status(name: str, pid: int | str) -> float:
    found = re.search(rf"^{name}:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    if found is None:
        raise ValueError(f"/proc/{pid}/status has no {name}.")
    return int(found[1]) / 1024
