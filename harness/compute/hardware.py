"""What a process computes on, and the memory that it took: for the record beside a speed."""

import platform
import sys
from pathlib import Path
from typing import Final, Protocol, runtime_checkable

from harness.core.potential import Potential, PotentialTraits

_CPU_INFO: Final = Path("/proc/cpuinfo")
_MEMORY_INFO: Final = Path("/proc/meminfo")
_CGROUP: Final = Path("/sys/fs/cgroup")
_KIBIBYTE: Final = 1024


@runtime_checkable
class ComputesElsewhere(Protocol):
    """A potential that computes in another process."""

    def peak_resident(self) -> int | None:
        """Peak memory of that process, in bytes; `None` where the system does not tell."""
        ...


def processor_name(device: str) -> str:
    """The model of the GPU or CPU that computes, such as `AMD EPYC 9B14`.

    Args:
        device: `cpu`, `cuda:0`, ...
    """
    torch = sys.modules.get("torch")
    if device.startswith("cuda") and torch is not None:
        return str(torch.cuda.get_device_name(device))
    if device != "cpu":
        return device
    return _cpu_of_linux() or platform.processor() or platform.machine()


def threads_of(traits: PotentialTraits) -> int | None:
    """CPU threads that the arithmetic of a potential may use: its own number, or that of PyTorch; `None` if unknown."""
    if traits.threads is not None or "torch" not in traits.packages:
        return traits.threads
    torch = sys.modules.get("torch")
    return None if torch is None else int(torch.get_num_threads())


def peak_resident_of(potential: Potential) -> int | None:
    """Peak memory of the process in which a potential computes, in bytes; `None` where the system does not tell."""
    if isinstance(potential, ComputesElsewhere):
        return potential.peak_resident()
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * _KIBIBYTE


def available_memory() -> int | None:
    """Memory that other processes may still take, in bytes, at most that of the container; `None` if unknown."""
    try:
        lines = _MEMORY_INFO.read_text(encoding="ascii").splitlines()
        free = next(int(line.split()[1]) * _KIBIBYTE for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError, IndexError):
        return None
    try:
        limit, used = (int((_CGROUP / name).read_text(encoding="ascii")) for name in ("memory.max", "memory.current"))
    except (OSError, ValueError):  # no such file, or `max`
        return free
    return max(0, min(free, limit - used))


def peak_resident_of_process(number: int) -> int | None:
    """Peak memory of another running process, in bytes; `None` where the system does not tell.

    Of a process that only waits for others, as bubblewrap does, the largest among it and its descendants counts.

    Args:
        number: Its process id.
    """
    found = [_peak_resident(number), *(peak_resident_of_process(child) for child in _children(number))]
    return max((each for each in found if each is not None), default=None)


def _children(number: int) -> list[int]:
    try:
        text = Path(f"/proc/{number}/task/{number}/children").read_text(encoding="ascii")
    except OSError:
        return []
    return [int(word) for word in text.split()]


def _peak_resident(number: int) -> int | None:
    try:
        status = Path(f"/proc/{number}/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    line = next((line for line in status.splitlines() if line.startswith("VmHWM:")), None)
    return None if line is None else int(line.split()[1]) * _KIBIBYTE


def _cpu_of_linux() -> str | None:
    try:
        lines = _CPU_INFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, None) or None
