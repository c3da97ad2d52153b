"""What graph-pes' NequIP and MACE need so that they compute in float64, and so that a compiler can follow them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import e3nn
import torch
from e3nn.nn import Activation
from graph_pes.utils.nn import AtomicOneHot


class _Size(NamedTuple):
    """Stands for an irreducible representation where its dimension alone counts."""

    dim: int


class _OneHot(torch.nn.Module):
    """Encodes elements without a look at their numbers, which a compiled function cannot take.

    Elements that the network does not know are refused before: a training has none, and a potential names its own.

    Args:
        encoder: What it replaces; its tensors keep their names.
    """

    Z_to_idx: torch.Tensor

    def __init__(self, encoder: AtomicOneHot) -> None:
        super().__init__()
        self.n_elements = encoder.n_elements
        self.register_buffer("Z_to_idx", encoder.Z_to_idx)

    def forward(self, atomic_numbers: torch.Tensor) -> torch.Tensor:
        """The code of each atom, shape (n_atoms, n_elements), float32."""
        return torch.nn.functional.one_hot(self.Z_to_idx[atomic_numbers], self.n_elements).float()


def in_own_dtype(network: torch.nn.Module) -> torch.nn.Module:
    """Lets a network compute in float64, for which graph-pes 1.0.2 encodes elements in float32."""
    for module in network.modules():
        if isinstance(module, AtomicOneHot | _OneHot):
            module.register_forward_hook(lambda _module, _inputs, output: output.to(next(network.parameters()).dtype))
    return network


def traceable(network: torch.nn.Module) -> torch.nn.Module:
    """Replaces what the compiler does not take in a network that was built in `python_code`."""
    for module in network.modules():
        for name, child in module.named_children():
            if isinstance(child, AtomicOneHot):
                setattr(module, name, _OneHot(child))
        if isinstance(module, Activation):
            # The compiler asks each tuple for its length, which an Irrep refuses to tell.
            module.irreps_in = tuple((count, _Size(irrep.dim)) for count, irrep in module.irreps_in)
    return network


@contextmanager
def python_code() -> Iterator[None]:
    """Lets e3nn leave the operations that it generates in Python, in place of TorchScript."""
    before = e3nn.get_optimization_defaults()["jit_script_fx"]
    e3nn.set_optimization_defaults(jit_script_fx=False)
    try:
        yield
    finally:
        e3nn.set_optimization_defaults(jit_script_fx=before)
