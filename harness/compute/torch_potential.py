"""Common code of families in PyTorch: a packed batch as tensors, and transfer to the device and back.

On a GPU another thread makes the input of the network on a separate stream while earlier batches compute: it copies the
batch from pinned memory and finds the neighbours. The prediction is copied back asynchronously, and waited for only
when it is needed.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.compute.device import out_of_memory_as_itself
from harness.compute.elements import require_elements_of_batch
from harness.core.batch import Prediction, StructureBatch
from harness.core.potential import PotentialTraits

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class PackedTensors:
    """Molecules packed one after another, all on one device; all neutral and closed-shell.

    Attributes:
        atomic_numbers: Shape (n_atoms_total,), int64.
        positions: Shape (n_atoms_total, 3), float64, Å; an adapter rounds to the precision of its model.
        n_atoms: Number of atoms of each structure, shape (n_structures,), int64.
        offsets: First atom of each structure, then the total; shape (n_structures + 1,), int64.
        system_idx: Index of the structure of each atom, shape (n_atoms_total,), int64.
        most_atoms: Number of atoms of the largest structure.
    """

    atomic_numbers: "torch.Tensor"
    positions: "torch.Tensor"
    n_atoms: "torch.Tensor"
    offsets: "torch.Tensor"
    system_idx: "torch.Tensor"
    most_atoms: int

    @property
    def n_structures(self) -> int:
        """Number of structures."""
        return len(self.n_atoms)

    @property
    def device(self) -> "torch.device":
        """Device of the tensors."""
        return self.positions.device

    def sum_by_structure(self, atomic: "torch.Tensor") -> "torch.Tensor":
        """Sums an atomic quantity over each structure, in double precision and always in the same order.

        In single precision a total energy of 10^4 eV is resolved only to about 1 meV.

        Args:
            atomic: Shape (n_atoms_total,).

        Returns:
            Shape (n_structures,), float64.
        """
        import torch

        return torch.segment_reduce(atomic.double(), "sum", lengths=self.n_atoms)


@dataclass(frozen=True, slots=True)
class Output:
    """Output of a network for a batch, on its device.

    Attributes:
        energy: Shape (n_structures,), float64, eV; arbitrary where the structure failed.
        forces: Shape (n_atoms_total, 3), eV/Å, in any precision.
        failures: Cause of each failure, by index of the structure.
    """

    energy: "torch.Tensor"
    forces: "torch.Tensor"
    failures: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Prepared:
    batch: StructureBatch
    tensors: PackedTensors
    graph: Any
    made: Any
    """Event on the stream that made the input; `None` on a CPU."""


@dataclass(frozen=True, slots=True)
class _Launched:
    prepared: _Prepared
    """Kept until the prediction is complete: another stream made its tensors, and might reuse their memory earlier."""
    energy: "torch.Tensor"
    forces: "torch.Tensor"
    failures: Mapping[int, str]
    finished: Any
    """Event on the computing stream; `None` on a CPU."""


class TorchPotential(ABC):
    """A potential with a PyTorch network; a family implements `graph` and `forward`.

    Args:
        traits: Traits of the potential, including the device on which it computes.
    """

    def __init__(self, traits: PotentialTraits) -> None:
        self._traits = traits
        self._stream: Any = None

    @property
    def traits(self) -> PotentialTraits:
        """What is known about the potential."""
        return self._traits

    @property
    def overlaps(self) -> bool:
        """Whether it computes on a GPU, concurrently with this process."""
        return self._traits.device != "cpu"

    @abstractmethod
    def graph(self, batch: PackedTensors) -> Any:
        """The input of the network, on the device of the batch; on a GPU made while earlier batches compute."""

    @abstractmethod
    def forward(self, graph: Any, batch: PackedTensors) -> Output:
        """Evaluates the network."""

    def compute(self, batch: StructureBatch) -> Prediction:
        """Energies (eV) and forces (eV/Å) of every structure.

        Raises:
            ModelError: If the model has no parameters for an element.
            torch.OutOfMemoryError: If the batch does not fit on the device.
        """
        return self.collect(self.launch(self.prepare(batch)))

    def prepare(self, batch: StructureBatch) -> _Prepared:
        """Copies a batch to the device and makes the input of the network; see `staging`.

        Raises:
            ModelError: If the model has no parameters for an element.
            torch.OutOfMemoryError: If the batch does not fit on the device.
        """
        require_elements_of_batch(self._traits, batch)
        with out_of_memory_as_itself():
            tensors = pack(batch)
            if self._traits.device == "cpu":
                return _Prepared(batch, tensors, self.graph(tensors), None)
            return self._prepared_on_gpu(batch, tensors)

    def launch(self, prepared: _Prepared) -> _Launched:
        """Starts the computation; on a GPU it continues after this returns.

        Raises:
            torch.OutOfMemoryError: If the batch does not fit on the device.
        """
        import torch

        tensors = prepared.tensors
        with out_of_memory_as_itself():
            if prepared.made is None:
                output = self.forward(prepared.graph, tensors)
                return _Launched(prepared, output.energy.detach(), output.forces.detach(), output.failures, None)
            stream = torch.cuda.current_stream(tensors.device)
            stream.wait_event(prepared.made)
            output = self.forward(prepared.graph, tensors)
            energy, forces = _pinned_copy(output.energy), _pinned_copy(output.forces)
            return _Launched(prepared, energy, forces, output.failures, stream.record_event())

    def collect(self, launched: _Launched) -> Prediction:
        """Waits for a prediction.

        Raises:
            torch.OutOfMemoryError: If the batch turned out not to fit on the device.
        """
        with out_of_memory_as_itself():
            if launched.finished is not None:
                launched.finished.synchronize()
        energy, forces = launched.energy.double().numpy(), launched.forces.double().numpy()
        if launched.failures:
            energy, forces = energy.copy(), forces.copy()
            failed = np.isin(np.arange(len(energy)), list(launched.failures))
            energy[failed] = np.nan
            forces[np.repeat(failed, launched.prepared.batch.n_atoms)] = np.nan
        return Prediction(energy, forces, dict(launched.failures))

    def _prepared_on_gpu(self, batch: StructureBatch, tensors: PackedTensors) -> _Prepared:
        import torch

        device = torch.device(self._traits.device)
        if self._stream is None:
            self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
            # The parameters of the model must be on the device before the other stream uses them.
            self._stream.wait_stream(torch.cuda.default_stream(device))
        with torch.cuda.stream(self._stream):

            def copied(tensor: "torch.Tensor") -> "torch.Tensor":
                return tensor.pin_memory().to(device, non_blocking=True)

            there = PackedTensors(
                copied(tensors.atomic_numbers),
                copied(tensors.positions),
                copied(tensors.n_atoms),
                copied(tensors.offsets),
                copied(tensors.system_idx),
                tensors.most_atoms,
            )
            return _Prepared(batch, there, self.graph(there), self._stream.record_event())


def pack(batch: StructureBatch) -> PackedTensors:
    """A batch as tensors in CPU memory; they share no memory with the batch."""
    import torch

    return PackedTensors(
        torch.tensor(batch.atomic_numbers, dtype=torch.int64),
        torch.tensor(batch.positions, dtype=torch.float64),
        torch.tensor(batch.n_atoms, dtype=torch.int64),
        torch.tensor(batch.offsets, dtype=torch.int64),
        torch.tensor(batch.system_idx, dtype=torch.int64),
        int(batch.n_atoms.max(initial=0)),
    )


def _pinned_copy(tensor: "torch.Tensor") -> "torch.Tensor":
    import torch

    source = tensor.detach()
    target = torch.empty(source.shape, dtype=source.dtype, pin_memory=True)
    target.copy_(source, non_blocking=True)
    return target
