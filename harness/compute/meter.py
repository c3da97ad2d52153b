"""What a batch takes of the memory of a device, measured by the process that computes it."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from harness.compute.device import release_memory
from harness.core.potential import Potential


@dataclass(frozen=True, slots=True)
class Footprint:
    """Memory of a device, in bytes.

    Attributes:
        available: What batches could have before this one: free, or kept by PyTorch without need.
        in_use: Most that the tensors of this batch had at one time.
        taken: Most that was taken from the device meanwhile, which is more: it is given in large blocks, and to other
            libraries, too.
    """

    available: int
    in_use: int
    taken: int


class Meter(Protocol):
    """Measures what is computed between two calls."""

    def begin(self) -> None:
        """Begins to measure; nothing may be under way."""
        ...

    def end(self) -> Footprint | None:
        """What was taken since; `None` where that cannot be told."""
        ...


@runtime_checkable
class Metered(Protocol):
    """A potential that knows how its memory is measured."""

    def meter(self) -> Meter | None:
        """The meter of its device, if there is one."""
        ...


def meter_of(potential: Potential) -> Meter | None:
    """The meter of the device of a potential: its own, or PyTorch's where it computes on a CUDA device."""
    if isinstance(potential, Metered):
        return potential.meter()
    device = potential.traits.device
    return CudaMeter(device) if device.startswith("cuda") else None


class CudaMeter:
    """Measures with the counters of PyTorch, in this process.

    Args:
        device: `cuda:0`, ...
    """

    def __init__(self, device: str) -> None:
        self._device = device
        self._free = self._allocated = self._reserved = self._available = 0

    def begin(self) -> None:
        """Begins to measure; what PyTorch keeps without need is given back first."""
        import torch

        torch.cuda.synchronize(self._device)
        release_memory()
        self._free, total = torch.cuda.mem_get_info(self._device)
        self._allocated = torch.cuda.memory_allocated(self._device)
        self._reserved = torch.cuda.memory_reserved(self._device)
        self._available = self._free + self._reserved - self._allocated
        # A process may be held to a share of the device; older releases of PyTorch do not tell which.
        fraction = getattr(torch.cuda, "get_per_process_memory_fraction", None)
        if fraction is not None:
            self._available = min(self._available, int(fraction(self._device) * total) - self._allocated)
        torch.cuda.reset_peak_memory_stats(self._device)

    def end(self) -> Footprint:
        """What was taken since."""
        import torch

        torch.cuda.synchronize(self._device)
        in_use = torch.cuda.max_memory_allocated(self._device) - self._allocated
        reserved = torch.cuda.max_memory_reserved(self._device) - self._reserved
        # What other libraries take, PyTorch does not count; they keep it for the next batch.
        taken = max(reserved, self._free - torch.cuda.mem_get_info(self._device)[0])
        return Footprint(self._available, in_use, taken)
