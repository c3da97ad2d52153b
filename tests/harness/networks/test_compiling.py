from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor

from harness.networks.compiling import can_compile, compiled


def slope(point: Tensor) -> Tensor:
    (gradient,) = torch.autograd.grad((point**3).sum(), point)
    return gradient


def test_a_compiled_function_takes_derivatives_in_any_thread() -> None:
    """Settings of the compiler belong to a thread; an evaluation on all CPUs loads in one and computes in another."""
    if not can_compile():  # asked here, since it imports the compiler
        pytest.skip("needs PyTorch 2.13 and a C++ compiler")
    function = compiled(slope, "PaiNN", backend="eager")
    with ThreadPoolExecutor(1) as other:
        for point in ([1.0, 2.0], [3.0, 0.0, -1.0]):
            found = other.submit(function, torch.tensor(point, requires_grad=True)).result()
            assert found.tolist() == pytest.approx([3.0 * each**2 for each in point])
    assert function.__name__ == "slope"
