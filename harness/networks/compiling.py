"""Compiles what a network computes for a batch, derivatives included, into fused loops."""

import functools
import os
import shutil
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal, TypeVar, cast

from dataset_builders.core.errors import SetupError, UsageError
from harness.networks.added import find_architecture
from harness.networks.architectures import BUILT_IN

COMPILABLE: Final = tuple(each.name for each in BUILT_IN if each.can_compile)
"""Networks of this project that the compiler supports."""

_Function = TypeVar("_Function", bound=Callable[..., object])


def can_compile() -> bool:
    """Whether this PyTorch can compile a function that takes derivatives, and finds the tools that a CPU needs."""
    import torch

    has_compiler = shutil.which(os.environ.get("CXX", "g++")) is not None
    has_headers = (Path(sysconfig.get_path("include")) / "Python.h").is_file()
    return has_compiler and has_headers and hasattr(torch._dynamo.config, "trace_autograd_ops")


def compiled(
    function: _Function,
    architecture: str,
    backend: Literal["inductor", "aot_eager", "eager"] = "inductor",
) -> _Function:
    """Compiles a whole function, including the derivatives that it takes.

    Memory traffic between many small operations limits a step of a small network on a CPU. A compiled training step
    takes a half to a fifth of the time (`tests.benchmarks.compiled_training`). Compiling takes minutes, once
    per run.

    Args:
        function: Takes packed batches; it may take first and second derivatives of the network.
        architecture: Network that the function evaluates.
        backend: For tests: `eager` captures the function, and `aot_eager` also lowers its derivatives as `inductor`
            does; both run the operations one by one.

    Raises:
        UsageError: If the network cannot be compiled.
        SetupError: If this PyTorch cannot compile a function that takes derivatives.
    """
    import torch

    if not find_architecture(architecture).can_compile:
        raise UsageError(f"--compile supports only {', '.join(COMPILABLE)}, not {architecture}; leave it out")
    if not hasattr(torch._dynamo.config, "trace_autograd_ops"):
        raise SetupError(f"--compile needs PyTorch 2.13 or newer, but this is {torch.__version__}; leave it out")
    # Batch sizes differ, and one compiled function must handle all; a part that cannot be compiled is an error.
    fused = torch.compile(function, dynamic=True, fullgraph=True, backend=backend)

    @functools.wraps(function)
    def in_this_thread(*given: object) -> object:
        # Each thread has settings of its own, and the one that computes is not always the one that loads.
        torch._dynamo.config.trace_autograd_ops = True
        return fused(*given)

    return cast("_Function", in_this_thread)
