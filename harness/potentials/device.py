"""Which device a potential computes on."""

import contextlib
import os
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from dataset_builders.errors import UsageError
from harness.potentials.arithmetic import full_precision
from harness.potentials.base import LoadOptions

if TYPE_CHECKING:
    import torch


def resolve_device(name: str) -> "torch.device":
    """The device that a name stands for, and full precision on it; `auto` is a CUDA device where there is one.

    `auto` and `cuda` mean the first one, or, under torchrun, the one of this process (`LOCAL_RANK`).

    Args:
        name: `auto`, `cpu`, `cuda` or `cuda:N`.

    Raises:
        UsageError: If the name is another, or the CUDA device is absent.
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
            f"device {name!r} is absent: PyTorch sees {n_devices} CUDA device(s); "
            "use --device cpu, or check the driver and that this PyTorch was built with CUDA"
        )
    return torch.device("cuda", index)


def require_cpu_and_float64(model: str, options: LoadOptions) -> None:
    """Checks that nothing is asked of a method that runs in double precision on the CPU only.

    Raises:
        UsageError: If another device or precision was asked for.
    """
    if options.device not in ("auto", "cpu"):
        raise UsageError(f"{model} runs on the CPU only, not on {options.device!r}; use --device cpu or auto")
    if options.dtype not in (None, "float64"):
        raise UsageError(f"{model} computes in float64 only, not in {options.dtype!r}; leave --dtype out")


@contextlib.contextmanager
def out_of_memory_as_itself() -> Iterator[None]:
    """Turns the plain RuntimeError that TorchScript makes of a full device back into PyTorch's own error.

    The interpreter of TorchScript, in which e3nn runs its tensor products, keeps only the message of
    an error, so the caller could not tell a full device from a broken model.

    Raises:
        torch.OutOfMemoryError: If the device ran out of memory.
    """
    import torch

    try:
        yield
    except RuntimeError as cause:
        if "out of memory" in str(cause) and not isinstance(cause, torch.OutOfMemoryError):
            raise torch.OutOfMemoryError(str(cause)) from cause
        raise
