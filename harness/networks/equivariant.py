"""Adapts graph-pes' NequIP and MACE to float64 and to the compiler."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import NamedTuple

import e3nn
import torch
from e3nn.nn import Activation
from graph_pes.utils.nn import AtomicOneHot


class _Size(NamedTuple):
    """Replaces an irreducible representation where only its dimension matters."""

    dim: int


class _OneHot(torch.nn.Module):
    """Encodes elements without reading their values, which a compiled function cannot do.

    Unknown elements are rejected earlier: training data contain none, and a potential lists its elements.

    Args:
        encoder: The encoder to replace; its tensors keep their names.
    """

    Z_to_idx: torch.Tensor

    def __init__(self, encoder: AtomicOneHot) -> None:
        super().__init__()
        self.n_elements = encoder.n_elements
        self.register_buffer("Z_to_idx", encoder.Z_to_idx)

    def forward(self, atomic_numbers: torch.Tensor) -> torch.Tensor:
        """One-hot vectors of the atoms, shape (n_atoms, n_elements), float32."""
        return torch.nn.functional.one_hot(self.Z_to_idx[atomic_numbers], self.n_elements).float()


def build_equivariant(make: Callable[[], torch.nn.Module], traceable: bool) -> torch.nn.Module:
    """Builds NequIP or MACE for `networks.build_network`.

    Args:
        make: Builds the network of graph-pes.
        traceable: Whether the network will be compiled.
    """
    with _python_code() if traceable else nullcontext():
        network = make()
    for module in tuple(network.modules()) if traceable else ():
        _make_traceable(module)
    for module in network.modules():
        if isinstance(module, AtomicOneHot | _OneHot):
            # graph-pes 1.0.2 encodes elements in float32, even in a float64 network.
            module.register_forward_hook(lambda _module, _inputs, output: output.to(next(network.parameters()).dtype))
    return network


def _make_traceable(module: torch.nn.Module) -> None:
    """Replaces the parts of one module that the compiler does not support."""
    for name, child in module.named_children():
        if isinstance(child, AtomicOneHot):
            setattr(module, name, _OneHot(child))
    if isinstance(module, Activation):
        # The compiler needs the length of each tuple, but an Irrep has none.
        module.irreps_in = tuple((count, _Size(irrep.dim)) for count, irrep in module.irreps_in)


@contextmanager
def _python_code() -> Iterator[None]:
    """Makes e3nn leave its generated operations in Python instead of TorchScript."""
    before = e3nn.get_optimization_defaults()["jit_script_fx"]
    e3nn.set_optimization_defaults(jit_script_fx=False)
    try:
        yield
    finally:
        e3nn.set_optimization_defaults(jit_script_fx=before)
