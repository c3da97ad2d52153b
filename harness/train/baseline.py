"""Subtracts a physics method from the labels, for a network that is trained on top of it."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np

from dataset_builders.core.arrays import FloatArray
from dataset_builders.core.errors import DataError
from dataset_builders.core.whole_file import whole_file
from harness.core.batch import Prediction
from harness.core.potential import Potential
from harness.data.rows import SplitRows
from harness.networks.checkpoint_format import BASELINES, BaselineName
from harness.potentials.delta import load_baseline
from harness.train.data_source import TRAINING_SPLITS
from harness.train.packed_frames import structures_of
from harness.train.task_data import Relabel

_FRAMES_PER_BATCH: Final = 64
_RECORD: Final = "record"


def subtract_baseline(
    name: BaselineName, directory: Path, threads: int, on_frames: Callable[[int], None] = lambda _n: None
) -> Relabel:
    """Returns the function that subtracts the energies and forces of a physics method from labels.

    The results of the method for each piece of a split are saved in the run folder, so that a resumed run does not
    compute them again.

    Args:
        name: The physics method.
        directory: Run folder.
        threads: Number of frames computed in parallel.
        on_frames: Called with the number of newly computed frames.
    """

    def relabel(split: str, piece: int, rows: SplitRows) -> SplitRows:
        path = directory / baseline_file(name, split, piece)
        potential = load_baseline(name, threads)
        record = {"frames": _fingerprint(rows), **{each: version(each) for each in potential.traits.packages}}
        found = _read(path, record)
        if found is None:
            found = _computed(potential, rows, split, on_frames)
            _write(path, record, found)
        energy, forces = found
        return replace(rows, energy=rows.energy - energy, forces=(rows.forces - forces).astype(np.float32))

    return relabel


def baseline_file(name: BaselineName, split: str, piece: int) -> str:
    """Name of the file that stores the results of a method for a piece of a split until the run is complete."""
    return f"baseline_{name}_{split}-{piece:05d}.npz"


def remove_baseline_files(directory: Path) -> None:
    """Deletes all such files in a run folder."""
    for name in BASELINES:
        for split in TRAINING_SPLITS:
            for path in directory.glob(f"baseline_{name}_{split}-*.npz"):
                path.unlink()


def _computed(
    potential: Potential, rows: SplitRows, split: str, on_frames: Callable[[int], None]
) -> tuple[FloatArray, FloatArray]:
    parts: list[Prediction] = []
    for start in range(0, len(rows), _FRAMES_PER_BATCH):
        stop = min(start + _FRAMES_PER_BATCH, len(rows))
        part = potential.compute(structures_of(rows, start, stop))
        for index, cause in part.failures.items():
            row = start + index
            raise DataError(
                f"{potential.traits.model_id} cannot compute {rows.molecule_id[row]}, {rows.trajectory[row]} frame "
                f"{rows.frame[row]} of {split}: {cause}; train without --delta, or on another baseline"
            )
        parts.append(part)
        on_frames(stop - start)
    return np.concatenate([part.energy for part in parts]), np.concatenate([part.forces for part in parts])


def _fingerprint(rows: SplitRows) -> str:
    """sha256 of all inputs of a physics method for these frames."""
    digest = hashlib.sha256("\n".join(rows.smiles).encode())
    for array in (rows.n_atoms, rows.atomic_numbers, rows.positions):
        digest.update(array.tobytes())
    return digest.hexdigest()


def _read(path: Path, record: Mapping[str, Any]) -> tuple[FloatArray, FloatArray] | None:
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as arrays:
            if json.loads(str(arrays[_RECORD])) != record:
                return None
            return arrays["energy"], arrays["forces"]
    except (OSError, ValueError, KeyError, EOFError) as cause:
        raise DataError(f"{path} cannot be read ({cause}); delete it to compute it again") from cause


def _write(path: Path, record: Mapping[str, Any], labels: tuple[FloatArray, FloatArray]) -> None:
    with whole_file(path) as partial, partial.open("wb") as stream:
        np.savez(stream, energy=labels[0], forces=labels[1], record=np.array(json.dumps(record)))
