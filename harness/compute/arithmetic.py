"""Full precision, and a record of what determines the last digits.

PyTorch and the libraries below it can compute products of float32 numbers in reduced precision (TF32, bfloat16), which
changes forces by some meV/Å. Their defaults differ between releases, and environment variables override them.
"""

import logging
import os
import sys
from collections.abc import Mapping
from typing import Any, Final

from dataset_builders.core.errors import SetupError

FULL: Final = "ieee"
"""PyTorch's name for products of float32 numbers in full precision."""

LOWERING: Final[Mapping[str, str]] = {
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE": "0",
    "NVIDIA_TF32_OVERRIDE": "0",
    "HIPBLASLT_ALLOW_TF32": "0",
    "CUBLAS_EMULATE_SINGLE_PRECISION": "0",
    "CUBLAS_EMULATE_DOUBLE_PRECISION": "0",
    "ONEDNN_DEFAULT_FPMATH_MODE": "STRICT",
    "DNNL_DEFAULT_FPMATH_MODE": "STRICT",
    "MKL_BLAS_COMPUTE_MODE": "STANDARD",
    "JAX_DEFAULT_MATMUL_PRECISION": "highest",
}
"""Variables that can make libraries compute in reduced precision, and the value that prevents it."""

_HARMLESS: Final = ("", "0", "off", "false", "n", "no", "strict", "standard", "highest", "float32")
_READ_BY_CUDA: Final = ("NVIDIA_TF32_OVERRIDE", "CUBLAS_EMULATE_SINGLE_PRECISION", "CUBLAS_EMULATE_DOUBLE_PRECISION")

_DECIDING: Final = frozenset(
    {"CUBLAS_WORKSPACE_CONFIG", "CUBLASLT_WORKSPACE_SIZE", "TORCH_BLAS_PREFER_CUBLASLT", "TORCH_LINALG_PREFER_CUSOLVER"}
    | {"TORCH_BLAS_PREFER_HIPBLASLT", "TORCH_CUDNN_V8_API_DISABLED", "TF_DETERMINISTIC_OPS", "TF_CUDNN_DETERMINISTIC"}
    | {"OPENBLAS_CORETYPE", "BLIS_ARCH_TYPE", "MKL_CBWR", "MKL_ENABLE_INSTRUCTIONS", "MKL_DEBUG_CPU_TYPE"}
    | {"ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "GLIBC_TUNABLES", "PYTHONHASHSEED"}
    | {"NPY_DISABLE_CPU_FEATURES", "NPY_ENABLE_CPU_FEATURES", "JAX_ENABLE_X64", "XLA_FLAGS"}
)
"""Variables that choose between algorithms for the same quantity, which differ in the last digits."""
_THREADS: Final = frozenset(
    {"OMP_NUM_THREADS", "OMP_DYNAMIC", "OMP_SCHEDULE", "MKL_NUM_THREADS", "MKL_DYNAMIC", "OPENBLAS_NUM_THREADS"}
    | {"GOTO_NUM_THREADS", "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "NUMBA_NUM_THREADS", "NUMEXPR_NUM_THREADS"}
)
"""Variables for the number of threads, which changes the order of sums and so the last digits."""
_PREFIXES: Final = (
    *("ATEN_", "BLIS_", "CUBLAS_", "CUBLASLT_", "CUDNN_", "DNNL_", "GOMP_", "HIPBLASLT_", "JAX_", "KMP_", "MIOPEN_"),
    *("MKL_", "NPY_", "NUMBA_", "NUMEXPR_", "OMP_", "ONEDNN_", "OPENBLAS_", "ROCBLAS_", "VECLIB_", "XLA_"),
)
"""Prefixes of variables that numerical libraries read."""

_NEWER: Final = ("", "cuda.matmul", "cudnn", "cudnn.conv", "cudnn.rnn")
_NEWER_ON_CPU: Final = ("mkldnn", "mkldnn.matmul", "mkldnn.conv", "mkldnn.rnn")
"""Parts of `torch.backends` with a separate setting, from PyTorch 2.9 on."""
_REDUCTIONS: Final = (
    "allow_fp16_reduced_precision_reduction",
    "allow_bf16_reduced_precision_reduction",
    "allow_fp16_accumulation",
)

_LOG: Final = logging.getLogger(__name__)


def is_read_by_libraries(name: str) -> bool:
    """Whether numerical libraries read an environment variable."""
    return name in _DECIDING or name in _THREADS or name in LOWERING or name.startswith(_PREFIXES)


def deciding_variables(environment: Mapping[str, str], *, threads: bool = True) -> dict[str, str]:
    """The variables that are set and can change the last digits.

    Args:
        environment: Environment of the process that computes.
        threads: Whether to include variables that set the number of threads.
    """
    names = _DECIDING | _THREADS if threads else _DECIDING
    return {name: environment[name] for name in sorted(names & environment.keys())}


def lowering_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that are set so that libraries compute in reduced precision."""
    found = {name: environment.get(name, "") for name in LOWERING}
    return {name: value for name, value in found.items() if value.strip().lower() not in _HARMLESS}


def neutralise_variables() -> None:
    """Resets environment variables that request reduced precision, and logs each.

    Libraries read these variables once, so this must run before any computation.

    Raises:
        SetupError: If CUDA was initialised with such a variable.
    """
    found = lowering_variables(os.environ)
    torch = sys.modules.get("torch")
    late = [name for name in found if name in _READ_BY_CUDA]
    if late and torch is not None and torch.cuda.is_initialized():
        raise SetupError(
            f"{late[0]} is {found[late[0]]}, and CUDA has already read it in this process: it would compute in less "
            "than float32 precision. Unset it and start again"
        )
    for name, value in found.items():
        os.environ[name] = LOWERING[name]
        _LOG.warning("%s=%s is ignored: everything is computed in full precision", name, value)


def full_precision() -> dict[str, str]:
    """Makes PyTorch compute in full precision, if it is imported.

    Returns:
        Previous values of the settings that had been changed, by name; on the first call, of those that PyTorch itself
        does not lower.

    Raises:
        SetupError: If a setting cannot be changed to full precision.
    """
    torch = sys.modules.get("torch")
    if torch is None or not hasattr(torch, "set_float32_matmul_precision"):  # another thread is importing it
        return {}
    before = _settings(torch)
    if before == _wanted:
        return {}
    _set_all(torch)
    after = _settings(torch)
    lower = [name for name, value in after.items() if value not in _FULL_VALUES]
    if lower:
        raise SetupError(f"PyTorch's setting {lower[0]} stays at {after[lower[0]]}; expected full precision")
    is_first = not _wanted
    _wanted.update(after)
    changed = {name: value for name, value in before.items() if value != after[name]}
    if not is_first:
        return changed
    return {
        name: value
        for name, value in changed.items()
        if value not in _FULL_VALUES and not name.startswith(_LOW_IN_PYTORCH)
    }


def precision_in_use() -> dict[str, str]:
    """Precision of PyTorch's products and sums; empty if PyTorch is not imported."""
    torch = sys.modules.get("torch")
    if torch is None:
        return {}
    reduced = [name for name, value in _settings(torch).items() if value not in _FULL_VALUES]
    return {"float32_products": ", ".join(reduced) or FULL}


_FULL_VALUES: Final = (FULL, "highest", "False", "none")
_LOW_IN_PYTORCH: Final = (
    "torch.backends.cudnn.",
    *(f"torch.backends.cuda.matmul.{name}" for name in _REDUCTIONS if name.endswith("_reduction")),
)
"""Settings that are low before anybody changes them."""
_wanted: Final[dict[str, str]] = {}
"""Settings of full precision, as PyTorch reads them back; empty until they are made."""


def _set_all(torch: Any) -> None:
    # The newer settings first: PyTorch refuses to read the older ones while the two contradict each other.
    for place in (*_NEWER, *_NEWER_ON_CPU):
        part = _part(torch, place)
        if hasattr(part, "fp32_precision"):
            part.fp32_precision = FULL
    torch.set_float32_matmul_precision("highest")
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    for name in _REDUCTIONS:
        if hasattr(torch.backends.cuda.matmul, name):
            setattr(torch.backends.cuda.matmul, name, False)
    for device in ("cpu", "cuda"):
        if torch.is_autocast_enabled(device):
            torch.set_autocast_enabled(device, False)


def _settings(torch: Any) -> dict[str, str]:
    found = {}
    for place in (*_NEWER, *_NEWER_ON_CPU):
        part = _part(torch, place)
        if hasattr(part, "fp32_precision"):
            found[f"torch.backends.{place}{place and '.'}fp32_precision"] = str(part.fp32_precision)
    if not found:
        found["torch.get_float32_matmul_precision"] = torch.get_float32_matmul_precision()
        found["torch.backends.cuda.matmul.allow_tf32"] = str(torch.backends.cuda.matmul.allow_tf32)
        found["torch.backends.cudnn.allow_tf32"] = str(torch.backends.cudnn.allow_tf32)
    for name in _REDUCTIONS:
        value = getattr(torch.backends.cuda.matmul, name, False)
        found[f"torch.backends.cuda.matmul.{name}"] = str(value)
    for device in ("cpu", "cuda"):
        found[f"autocast on {device}"] = str(torch.is_autocast_enabled(device))
    return found


def _part(torch: Any, place: str) -> Any:
    part = torch.backends
    for name in place.split("."):
        part = getattr(part, name, None) if name else part
    return part
