"""What the machine has for this process."""

import os


def usable_cpus() -> int:
    """Processors that this process may use, which a scheduler may have made fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
