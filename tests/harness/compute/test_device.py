import gc
import sys
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch

from dataset_builders.core.errors import ModelError, SetupError, UsageError
from harness.compute.device import (
    as_torch_error,
    device_name,
    is_out_of_memory,
    out_of_memory_as_itself,
    release_memory,
)
from harness.compute.trial import tried_with
from harness.core.potential import LoadOptions
from harness.models.registry import load_potential


class OutOfMemoryError(MemoryError):
    """As CuPy's."""


class CudaAPIError(Exception):
    """As Numba's."""


FULL = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."),
    RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB (GPU 0; 10.76 GiB total capacity)"),
    RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"),
    RuntimeError("HIP out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("MPS backend out of memory (MPS allocated: 9.05 GB)"),
    RuntimeError("XPU out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`"),
    RuntimeError("HIP error: HIPBLAS_STATUS_ALLOC_FAILED when calling `hipblasCreate(handle)`"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError("cuSOLVER error: CUSOLVER_STATUS_ALLOC_FAILED, when calling `cusolverDnCreate(handle)`"),
    RuntimeError("cuFFT error: CUFFT_ALLOC_FAILED"),
    RuntimeError("Failed to allocate 4294967296 bytes on device 'cuda:0'"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:124] . DefaultCPUAllocator: can't allocate memory: you tried to"),
    RuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 8589934592 bytes."),
    RuntimeError("cudaErrorMemoryAllocation: out of memory"),
    CudaAPIError("[2] Call to cuMemAlloc results in CUDA_ERROR_OUT_OF_MEMORY"),
    OutOfMemoryError("Out of memory allocating 8,589,934,592 bytes (allocated so far: 0 bytes)."),
    MemoryError("Unable to allocate 7.45 GiB for an array with shape (1000000000,) and data type float64"),
    MemoryError(),
]

OTHERS = [
    RuntimeError("shape mismatch"),
    RuntimeError("CUDA error: an illegal memory access was encountered"),
    RuntimeError("CUDA error: device-side assert triggered"),
    RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm(handle, ...)`"),
    RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasSgemm(handle, ...)`"),
    RuntimeError("out of resource: shared memory, Required: 131072, Hardware limit: 101376."),
    ValueError("time out of range"),
    OSError("No space left on device"),
    ModelError("m ended its worker twice, last output:  torch.OutOfMemoryError: CUDA out of memory"),
]


@pytest.mark.parametrize("error", FULL, ids=lambda error: str(error)[:40])
def test_a_full_device_is_recognised_by_whatever_name(error: Exception) -> None:
    assert is_out_of_memory(error)
    with pytest.raises(torch.OutOfMemoryError) as caught, out_of_memory_as_itself():
        raise error
    assert str(caught.value) == (str(error) or "MemoryError")


@pytest.mark.parametrize("error", OTHERS, ids=lambda error: str(error)[:40])
def test_other_errors_stay_what_they_are(error: Exception) -> None:
    assert not is_out_of_memory(error)
    assert as_torch_error(error) is error
    with pytest.raises(type(error)) as caught, out_of_memory_as_itself():
        raise error
    assert caught.value is error


@pytest.mark.parametrize("error", FULL[:3])
def test_a_model_that_does_not_fit_is_a_matter_of_the_device(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def load(source: object, options: LoadOptions) -> None:
        raise error

    monkeypatch.setattr("harness.potentials.zero.load", load)
    with pytest.raises(SetupError, match=r"zero does not fit in the memory of the device auto \(.*out of memory"):
        load_potential("zero", LoadOptions())


@pytest.mark.parametrize("error", FULL[:4])
def test_a_full_device_is_no_broken_checkpoint(error: Exception) -> None:
    with pytest.raises(torch.OutOfMemoryError), tried_with("ase", "1.0", Path("weights")):
        raise error
    with pytest.raises(ModelError, match="weights cannot be loaded"), tried_with("ase", "1.0", Path("weights")):
        raise RuntimeError("shape mismatch")


def test_an_interruption_is_no_full_device() -> None:
    with pytest.raises(KeyboardInterrupt, match="out of memory"), out_of_memory_as_itself():
        raise KeyboardInterrupt("out of memory")


def test_memory_in_cycles_is_released() -> None:
    class Tensor:
        def __init__(self) -> None:
            self.itself = self
            self.numbers = np.zeros(10)

    gc.disable()
    try:
        there = weakref.ref(Tensor())
        assert there() is not None
        release_memory()
        assert there() is None
    finally:
        gc.enable()


def test_releasing_memory_needs_no_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch")
    release_memory()
    assert "torch" not in sys.modules


def test_a_device_that_is_surely_the_cpu_needs_no_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)  # an import of it would fail
    monkeypatch.setattr("harness.compute.device.may_have_gpu", lambda: False)
    assert [device_name(each) for each in ("cpu", "auto")] == ["cpu", "cpu"]


def test_a_device_that_may_be_a_gpu_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.compute.device.may_have_gpu", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [device_name(each) for each in ("cpu", "auto", "cuda", "cuda:1")] == ["cpu", "cuda:0", "cuda:0", "cuda:1"]
    with pytest.raises(UsageError, match="'cuda:2' is not available: PyTorch sees 2 CUDA"):
        device_name("cuda:2")
    with pytest.raises(UsageError, match="unknown device 'gpu'; expected auto, cpu, cuda"):
        device_name("gpu")
