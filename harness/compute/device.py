"""Which device a potential computes on."""

import contextlib
import gc
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from dataset_builders.core.errors import MlipOodError, SetupError, UsageError
from harness.compute.arithmetic import full_precision
from harness.core.potential import LoadOptions

if TYPE_CHECKING:
    import torch


_GPU_DRIVERS: Final = tuple(Path("/dev", name) for name in ("nvidiactl", "nvidia0", "dxg", "kfd"))
"""Devices that the drivers of NVIDIA, of Windows' subsystem for Linux and of AMD create."""


def resolve_device(name: str) -> "torch.device":
    """Resolves the name of a device and sets full precision on it; `auto` is a CUDA device if there is one.

    `auto` and `cuda` mean the first device or, under torchrun, the device of this process (`LOCAL_RANK`).

    Args:
        name: `auto`, `cpu`, `cuda` or `cuda:N`.

    Raises:
        UsageError: If the name is unknown, or the CUDA device is absent.
    """
    import torch

    full_precision()
    match = re.fullmatch(r"auto|cpu|cuda(?::([0-9]{1,3}))?", name)
    if match is None:
        raise UsageError(f"unknown device {name!r}; expected auto, cpu, cuda or cuda:N")
    n_devices = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "cpu" or (name == "auto" and n_devices == 0):
        return torch.device("cpu")
    index = int(match[1] or os.environ.get("LOCAL_RANK", "0"))
    if index >= n_devices:
        raise UsageError(
            f"device {name!r} is not available: PyTorch sees {n_devices} CUDA device(s); "
            "use --device cpu, or check the driver and that this PyTorch was built with CUDA"
        )
    return torch.device("cuda", index)


def device_name(name: str) -> str:
    """Like `resolve_device`, without PyTorch where it is not needed to tell that the device is the CPU.

    PyTorch takes seconds to import, and not every model needs it.

    Args:
        name: `auto`, `cpu`, `cuda` or `cuda:N`.

    Raises:
        UsageError: If the name is unknown, or the CUDA device is absent.
    """
    is_cpu = name == "cpu" or (name == "auto" and not may_have_gpu())
    return "cpu" if is_cpu else str(resolve_device(name))


def require_cpu_and_float64(model: str, options: LoadOptions) -> None:
    """Checks the options for a method that runs only in double precision on the CPU.

    Raises:
        UsageError: If another device or precision was requested.
    """
    if options.device not in ("auto", "cpu"):
        raise UsageError(f"{model} runs on the CPU only, not on {options.device!r}; use --device cpu or auto")
    if options.dtype not in (None, "float64"):
        raise UsageError(f"{model} computes in float64 only, not in {options.dtype!r}; leave --dtype out")


_OUT_OF_MEMORY: Final = re.compile(
    "|".join(
        [
            r"out[ _]of[ _]((the|device|host)[ _])?memory|OutOfMemory",  # PyTorch on CUDA, ROCm, XPU, MPS; CuPy, Numba
            r"ErrorMemoryAllocation|RESOURCE_EXHAUSTED",  # CUDA's runtime; XLA
            r"_(STATUS_)?ALLOC_FAILED",  # cuBLAS, cuDNN, cuSOLVER, cuSPARSE, cuFFT and their counterparts on ROCm
            r"failed to allocate \S+ bytes",  # Warp
            r"DefaultCPUAllocator: (can't allocate|not enough) memory",
            # Message of cuBLAS if the device is too full for its handle; after other errors it already has one.
            r"BLAS_STATUS_NOT_INITIALIZED when calling .?\w+Create",
        ]
    ),
    flags=re.IGNORECASE,
)
"""Messages of errors other than `torch.OutOfMemoryError` that libraries raise when a device is full."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of a library says that a device is full, whatever its type.

    Errors of this project never count: they may quote such an error and were classified before.
    """
    torch = sys.modules.get("torch")
    if isinstance(error, MemoryError) or (torch is not None and isinstance(error, torch.OutOfMemoryError)):
        return True
    is_foreign = isinstance(error, Exception) and not isinstance(error, MlipOodError)
    return is_foreign and _OUT_OF_MEMORY.search(_text_of(error)) is not None


def _text_of(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:  # str() of a foreign error is foreign code, too
        return type(error).__name__


def as_torch_error(error: Exception) -> Exception:
    """PyTorch's own out-of-memory error for any error that reports a full device; other errors unchanged."""
    if not is_out_of_memory(error):
        return error
    # Importing torch takes seconds, and not every potential needs it.
    import torch

    if isinstance(error, torch.OutOfMemoryError):
        return error
    return torch.OutOfMemoryError(str(error) or type(error).__name__)


@contextlib.contextmanager
def out_of_memory_as_itself() -> Iterator[None]:
    """Converts whatever a library raises when the device is full into PyTorch's own error.

    TorchScript, in which e3nn runs its tensor products, keeps only the message of an error; cuBLAS, Warp, CuPy, JAX and
    others have their own errors. The caller could not distinguish a full device from a broken model.

    Raises:
        torch.OutOfMemoryError: If the device ran out of memory.
    """
    try:
        yield
    except Exception as cause:
        error = as_torch_error(cause)
        if error is cause:
            raise
        raise error from cause


def may_have_gpu() -> bool:
    """Whether a GPU may be visible to this process; PyTorch, which knows, takes seconds to import."""
    torch = sys.modules.get("torch")
    if torch is not None:
        return bool(torch.cuda.is_available())
    hidden = any(os.environ.get(name, "0") in ("", "-1") for name in ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES"))
    return not hidden and any(path.exists() for path in _GPU_DRIVERS)


def does_not_fit(model: str, options: LoadOptions, cause: Exception) -> SetupError:
    """The error for a model whose parameters alone exceed the memory of the device."""
    return SetupError(
        f"{model} does not fit in the memory of the device {options.device} ({type(cause).__name__}: {cause}); free "
        "some memory, use --dtype float32 or another --device"
    )


def release_memory() -> None:
    """Returns unused memory to the device, for the next attempt and for other libraries."""
    # Third-party code keeps tensors alive in reference cycles.
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.cuda.empty_cache()
