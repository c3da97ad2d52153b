"""Potentials whose device holds few atoms at a time, in this process and, as an adapter, in a worker."""

import gc
import sys
import weakref
from collections import deque
from pathlib import Path
from typing import Literal

import numpy as np

from harness.compute.meter import Footprint
from harness.core.batch import Prediction, StructureBatch
from harness.core.potential import LoadOptions, PotentialTraits

TRAITS = PotentialTraits("crowded", "crowded", elements=None, packages=("numpy",))

Step = Literal["prepare", "launch", "collect"]


def springs(batch: StructureBatch) -> Prediction:
    """Each atom is tied to the centroid; the bits of a structure do not depend on its batch."""
    energy, forces = [], []
    for start, stop in zip(batch.offsets[:-1], batch.offsets[1:], strict=True):
        arm = batch.positions[start:stop] - batch.positions[start:stop].mean(axis=0)
        energy.append(0.125 * float((arm**2).sum()))
        forces.append(-0.25 * arm)
    return Prediction(np.array(energy), np.concatenate(forces), {})


def full(kind: str) -> Exception:
    """What libraries raise where a device is full."""
    if kind == "torch":
        import torch

        return torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 7 GiB")
    return RuntimeError(kind)


class _Input:
    """What lies on the device; it goes when nothing refers to it."""

    def __init__(self, batch: StructureBatch) -> None:
        self.batch = batch


class Queue:
    """A device with a queue, which answers in the order of the questions and does not say which one it answers.

    Args:
        most_atoms: Of a batch that fits.
        step: Where one that does not is refused.
        kind: Of the error; see `full`.
    """

    overlaps = True

    def __init__(self, most_atoms: int, step: Step = "launch", kind: str = "torch") -> None:
        self.traits = TRAITS
        self.most_atoms, self.step, self.kind = most_atoms, step, kind
        self.queue: deque[StructureBatch] = deque()
        self.resident: weakref.WeakSet[_Input] = weakref.WeakSet()
        self.beside: list[int] = []
        """Batches on the device and in the queue whenever one was computed outside of the stream."""
        self.launched: list[int] = []
        """Atoms of each batch that was launched, in order."""
        self.refused: list[int] = []

    def prepare(self, batch: StructureBatch) -> _Input:
        self._check("prepare", batch)
        there = _Input(batch)
        self.resident.add(there)
        return there

    def launch(self, prepared: _Input) -> _Input:
        self.launched.append(len(prepared.batch.atomic_numbers))
        self._check("launch", prepared.batch)
        self.queue.append(prepared.batch)
        return prepared

    def collect(self, launched: _Input) -> Prediction:
        batch = self.queue.popleft()
        self._check("collect", batch)
        return springs(batch)

    def compute(self, batch: StructureBatch) -> Prediction:
        self.beside.append(len(self.resident) + len(self.queue))
        return self.collect(self.launch(self.prepare(batch)))

    def _check(self, step: Step, batch: StructureBatch) -> None:
        if step == self.step and len(batch.atomic_numbers) > self.most_atoms:
            self.refused.append(len(batch.atomic_numbers))
            raise full(self.kind)


def _import_torch_once() -> None:
    """Whoever handles a full device imports PyTorch and collects garbage, each time through all that was imported."""
    if "torch" not in sys.modules:
        import torch  # noqa: F401 (for the modules that it loads)

        gc.collect()
        gc.freeze()


class FromFile:
    """Reads from a file, batch by batch, how many atoms fit, and what is raised for more."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.traits = TRAITS
        self.most_atoms = 0

    def compute(self, batch: StructureBatch) -> Prediction:
        most_atoms, _, kind = self._path.read_text().partition(" ")
        if len(batch.atomic_numbers) > int(most_atoms):
            _import_torch_once()
            raise full(kind)
        self.most_atoms = max(self.most_atoms, len(batch.atomic_numbers))
        return springs(batch)

    def meter(self) -> "Pretended":
        return Pretended(self)


class Pretended:
    """A meter that says what a device would have given, 1000 bytes an atom of 128 MiB."""

    def __init__(self, potential: FromFile) -> None:
        self._potential = potential

    def begin(self) -> None:
        self._potential.most_atoms = 0

    def end(self) -> Footprint:
        taken = 1000 * self._potential.most_atoms
        return Footprint(2**27, taken, taken)


def load(source: Path, options: LoadOptions) -> FromFile:
    return FromFile(source)
