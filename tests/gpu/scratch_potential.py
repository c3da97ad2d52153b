"""A potential on a GPU that takes as much of its memory as it is told; as an adapter, in a worker too.

Its numbers are exact, so that no order of summation changes a bit.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from harness.compute.torch_potential import Output, PackedTensors, TorchPotential
from harness.core.batch import Prediction, StructureBatch
from harness.core.potential import LoadOptions, PotentialTraits

TRAITS = PotentialTraits("scratch", "scratch", elements=None, packages=("torch",), device="cuda:0")
MIB = 2**20


@dataclass(frozen=True, slots=True)
class Needs:
    """Bytes an atom: of the input, which lies on the device until the prediction is there, and of the computing."""

    graph: int
    forward: int


class Scratch(TorchPotential):
    def __init__(self, needs: Needs) -> None:
        super().__init__(TRAITS)
        self._needs = needs
        self.beside: list[int] = []
        """Bytes in use whenever a batch was computed outside of a stream."""
        self.sizes: list[int] = []

    def compute(self, batch: StructureBatch) -> Prediction:
        self.beside.append(torch.cuda.memory_allocated(0))
        return super().compute(batch)

    def graph(self, batch: PackedTensors) -> Any:
        # Multiples of 2^-10 Å below 2^6 Å: 32 bits a square.
        return torch.round(batch.positions * 1024) / 1024, self._scratch(self._needs.graph, batch)

    def forward(self, graph: Any, batch: PackedTensors) -> Output:
        self.sizes.append(len(batch.atomic_numbers))
        positions, _ = graph
        scratch = self._scratch(self._needs.forward, batch)
        energy = batch.sum_by_structure(positions.square().sum(dim=1))
        del scratch
        return Output(energy, -2.0 * positions)

    def _scratch(self, per_atom: int, batch: PackedTensors) -> torch.Tensor:
        return torch.empty(per_atom * len(batch.atomic_numbers), dtype=torch.uint8, device=batch.device)


def allow(n_bytes: int) -> None:
    """Lets this process have some memory of the device beyond what it has."""
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(min(1.0, (torch.cuda.memory_reserved(0) + n_bytes) / total), 0)


def load(source: Path, options: LoadOptions) -> Scratch:
    """Reads from a file how much memory is needed and allowed."""
    told = json.loads(source.read_text())
    torch.zeros(1, device="cuda:0")
    allow(told["allowed"])
    return Scratch(Needs(told["graph"], told["forward"]))
