"""Device memory that a batch needs, measured by the process that computes it."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from harness.compute.device import release_memory
from harness.core.potential import Potential


@dataclass(frozen=True, slots=True)
class Footprint:
    """Memory of a device, in bytes.

    Attributes:
        available: Memory available to batches before this one: free, or cached by PyTorch without being used.
        in_use: Peak memory of the tensors of this batch.
        taken: Peak memory reserved on the device meanwhile; it exceeds `in_use`, since PyTorch reserves large blocks
            and other libraries take memory, too.
        peak: Peak memory of all tensors meanwhile, those of the model included; `None` if it is not known.
    """

    available: int
    in_use: int
    taken: int
    peak: int | None = None


class Meter(Protocol):
    """Measures the memory of what is computed between two calls."""

    def begin(self) -> None:
        """Starts the measurement; no computation may be running."""
        ...

    def end(self) -> Footprint | None:
        """Memory used since `begin`; `None` if it cannot be measured."""
        ...


@runtime_checkable
class Metered(Protocol):
    """A potential that provides its own meter."""

    def meter(self) -> Meter | None:
        """The meter of its device, if there is one."""
        ...


def meter_of(potential: Potential) -> Meter | None:
    """The meter for a potential: its own, or PyTorch's if it computes on a CUDA device."""
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
        """Starts the measurement, after PyTorch has released its cache."""
        import torch

        torch.cuda.synchronize(self._device)
        release_memory()
        self._free, total = torch.cuda.mem_get_info(self._device)
        self._allocated = torch.cuda.memory_allocated(self._device)
        self._reserved = torch.cuda.memory_reserved(self._device)
        self._available = self._free + self._reserved - self._allocated
        # A process may be limited to a fraction of the device; older releases of PyTorch do not report it.
        fraction = getattr(torch.cuda, "get_per_process_memory_fraction", None)
        if fraction is not None:
            self._available = min(self._available, int(fraction(self._device) * total) - self._allocated)
        torch.cuda.reset_peak_memory_stats(self._device)

    def end(self) -> Footprint:
        """Memory used since `begin`."""
        import torch

        torch.cuda.synchronize(self._device)
        peak = torch.cuda.max_memory_allocated(self._device)
        reserved = torch.cuda.max_memory_reserved(self._device) - self._reserved
        # PyTorch does not count what other libraries take; they keep it for the next batch.
        taken = max(reserved, self._free - torch.cuda.mem_get_info(self._device)[0])
        return Footprint(self._available, peak - self._allocated, taken, peak)
