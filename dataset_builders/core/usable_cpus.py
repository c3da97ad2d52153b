"""How many CPUs this process may use: a batch scheduler or a container may leave it fewer than the machine has."""

import math
import os
from pathlib import Path
from typing import Final

_CGROUP: Final = Path("/sys/fs/cgroup")
_OWN_GROUP: Final = Path("/proc/self/cgroup")


def usable_cpus(cgroup: Path = _CGROUP, own_group: Path = _OWN_GROUP) -> int:
    """CPUs that the affinity of this process names, and at most its quota of CPU time, rounded up.

    Args:
        cgroup: Where the control groups are mounted.
        own_group: The file that names the group of this process.
    """
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quotas = [quota for folder in _groups(cgroup, own_group) for quota in (_quota(folder),) if quota is not None]
    return max(1, min([count, *(math.ceil(quota) for quota in quotas)]))


def _groups(cgroup: Path, own_group: Path) -> list[Path]:
    """The group of this process, and those that contain it; each can set a quota."""
    folders = {cgroup, cgroup / "cpu"}
    try:
        lines = own_group.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError):
        return sorted(folders)
    for line in lines:
        _, controllers, path = line.split(":", 2) if line.count(":") >= 2 else ("", "", "")
        root = cgroup / "cpu" if "cpu" in controllers.split(",") else cgroup
        if controllers and "cpu" not in controllers.split(","):
            continue
        own = root / path.lstrip("/")
        folders |= {own, *(parent for parent in own.parents if parent.is_relative_to(root))}
    return sorted(folders)


def _quota(folder: Path) -> float | None:
    """The quota of a group in CPUs, of control groups version 2 or 1; `None` if it has none."""
    texts = [_text(folder / "cpu.max")] if (folder / "cpu.max").is_file() else []
    if not texts:
        texts = [f"{_text(folder / 'cpu.cfs_quota_us')} {_text(folder / 'cpu.cfs_period_us')}"]
    words = texts[0].split()
    if len(words) != 2 or not all(word.isdecimal() for word in words) or 0 in (int(words[0]), int(words[1])):
        return None  # `max`, -1, or no such file
    return int(words[0]) / int(words[1])


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
