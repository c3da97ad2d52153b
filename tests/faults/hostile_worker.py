"""An adapter that does in its worker what no worker should; imported there by name.

It writes into the socket whose number stands on its command line, as a program that knows it could.
"""

import os
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np

from harness.core.batch import Prediction, StructureBatch
from harness.core.potential import LoadOptions, PotentialTraits
from harness.worker.protocol import Message, encoded

_TRAITS: Final = PotentialTraits("hostile", "hostile", None, packages=("numpy",))
_LONG: Final = 3600.0


class Hostile:
    """Computes springs, except for the batches on which its deed strikes.

    Args:
        source: A file with the name of a deed and the number of batches on which it strikes still.
    """

    def __init__(self, source: Path) -> None:
        self._source = source
        self.traits = _TRAITS

    def compute(self, batch: StructureBatch) -> Prediction:
        """Energies and forces, or a deed."""
        name, left = self._source.read_text().split()
        if int(left):
            self._source.write_text(f"{name} {int(left) - 1}")
            return DEEDS[name](batch)
        return springs(batch)


def springs(batch: StructureBatch) -> Prediction:
    """What an honest worker answers."""
    squares = (np.asarray(batch.positions, dtype=float) ** 2).sum(axis=1)
    energy = np.bincount(batch.system_idx, weights=squares, minlength=batch.n_structures)
    return Prediction(energy, -2.0 * np.asarray(batch.positions, dtype=float), {})


def load(source: Path, options: LoadOptions) -> Hostile:
    """The adapter's loader."""
    if source.read_text().startswith("never_loads"):
        time.sleep(_LONG)
    if source.read_text().startswith("dies_while_it_loads"):
        os._exit(3)
    return Hostile(source)


def _say(content: bytes) -> None:
    os.write(int(sys.argv[1]), content)


def _hang(batch: StructureBatch) -> Prediction:
    time.sleep(_LONG)
    return springs(batch)


def _die(batch: StructureBatch) -> Prediction:
    os._exit(9)


def _die_inside_an_answer(batch: StructureBatch) -> Prediction:
    _say(struct.pack("!i", 10_000) + b"half")
    os._exit(9)


def _stop_inside_an_answer(batch: StructureBatch) -> Prediction:
    _say(struct.pack("!i", 10_000) + b"half")
    return _hang(batch)


def _garbage(batch: StructureBatch) -> Prediction:
    _say(struct.pack("!i", 64) + bytes(range(64)))
    return _hang(batch)


def _print_to_the_channel(batch: StructureBatch) -> Prediction:
    _say(b"Loading weights ... done\n" * 100)
    return _hang(batch)


def _another_batch(batch: StructureBatch) -> Prediction:
    arrays = {"energy": np.zeros(batch.n_structures), "forces": np.zeros((len(batch.positions), 3))}
    content = encoded(Message("computed", {"failures": {}}, arrays, 10**6))
    _say(struct.pack("!i", len(content)) + content)
    return _hang(batch)


def _nan(batch: StructureBatch) -> Prediction:
    honest = springs(batch)
    return Prediction(np.full_like(honest.energy, np.nan), honest.forces, {})


def _infinite_forces(batch: StructureBatch) -> Prediction:
    honest = springs(batch)
    return Prediction(honest.energy, np.full_like(honest.forces, np.inf), {})


def _one_force_too_many(batch: StructureBatch) -> Prediction:
    honest = springs(batch)
    return Prediction(honest.energy, np.vstack([honest.forces, np.zeros((1, 3))]), {})


def _one_energy_for_all(batch: StructureBatch) -> Prediction:
    honest = springs(batch)
    return Prediction(np.array([honest.energy.sum()]), honest.forces, {})


def _flat_forces(batch: StructureBatch) -> Prediction:
    honest = springs(batch)
    return Prediction(honest.energy, honest.forces.ravel(), {})


def _text(batch: StructureBatch) -> Prediction:
    honest = springs(batch)
    return Prediction(np.array(["low"] * batch.n_structures), honest.forces, {})


def _failures_elsewhere(batch: StructureBatch) -> Prediction:
    honest = springs(batch)
    return Prediction(honest.energy, honest.forces, {batch.n_structures + 5: "not one of these"})


def _flood(batch: StructureBatch) -> Prediction:
    for _ in range(200):
        sys.stderr.write("warning: something\n" * 5000)
        print("progress " * 5000)
    return springs(batch)


DEEDS: Final[dict[str, Callable[[StructureBatch], Prediction]]] = {
    "hang": _hang,
    "die": _die,
    "die_inside_an_answer": _die_inside_an_answer,
    "stop_inside_an_answer": _stop_inside_an_answer,
    "garbage": _garbage,
    "print_to_the_channel": _print_to_the_channel,
    "another_batch": _another_batch,
    "nan": _nan,
    "infinite_forces": _infinite_forces,
    "one_force_too_many": _one_force_too_many,
    "one_energy_for_all": _one_energy_for_all,
    "flat_forces": _flat_forces,
    "text": _text,
    "failures_elsewhere": _failures_elsewhere,
    "flood": _flood,
}
