"""What graph-pes' NequIP and MACE need so that they compute in float64, and so that a compiler can follow them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
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


def build_equivariant(make: Callable[[], torch.nn.Module], traceable: bool) -> torch.nn.Module:
    """Builds NequIP or MACE, as `networks.build_network` gives them.

    Args:
        make: Builds the network of graph-pes.
        traceable: Whether it is to be compiled.
    """
    with _python_code() if traceable else nullcontext():
        network = make()
    for module in tuple(network.modules()) if traceable else ():
        _make_traceable(module)
    for module in network.modules():
        if isinstance(module, AtomicOneHot | _OneHot):
            # graph-pes 1.0.2 encodes elements in float32, also where the network is in float64.
            module.register_forward_hook(lambda _module, _inputs, output: output.to(next(network.parameters()).dtype))
    return network


def _make_traceable(module: torch.nn.Module) -> None:
    """Replaces what the compiler does not take in one module."""
    for name, child in module.named_children():
        if isinstance(child, AtomicOneHot):
            setattr(module, name, _OneHot(child))
    if isinstance(module, Activation):
        # The compiler asks each tuple for its length, which an Irrep refuses to tell.
        module.irreps_in = tuple((count, _Size(irrep.dim)) for count, irrep in module.irreps_in)


@contextmanager
def _python_code() -> Iterator[None]:
    """Lets e3nn leave the operations that it generates in Python, in place of TorchScript."""
    before = e3nn.get_optimization_defaults()["jit_script_fx"]
    e3nn.set_optimization_defaults(jit_script_fx=False)
    try:
        yield
    finally:
        e3nn.set_optimization_defaults(jit_script_fx=before)
