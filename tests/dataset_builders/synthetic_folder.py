"""A whole data-set folder made in seconds: real words and bonds, MMFF94 about the energies of GFN2-xTB."""

import functools
import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dataset_builders.chemistry.bond_energies import atoms_energy, bond_energy
from dataset_builders.chemistry.environments import subset_of
from dataset_builders.chemistry.mmff94 import Mmff94, atomic_numbers_of
from dataset_builders.chemistry.sampling import embed
from dataset_builders.folder.schema import with_metadata
from dataset_builders.tasks.editions import FRAMES_PER_BURST, SPLIT_TRAJECTORY, SPLITS, find_edition
from dataset_builders.tasks.regions import TASKS

EDITION = "5/5/5/5"
METADATA = {
    "edition": EDITION,
    "level_of_theory": {"method": "GFN2-xTB"},
    "seed": 0,
    "versions": {"rdkit": "1.0", "tblite": "2.0"},
}


@functools.cache
def _conformer(smiles):
    """Positions of a minimum, the potential, and its energy there."""
    potential = Mmff94(smiles)
    positions = embed(smiles, 11)
    return positions, potential, potential.singlepoint(positions)[0]


def total_energy(level, smiles):
    """Energy of a molecule at rest at a level of theory, eV, as isolated atoms and bonds, where known, have it."""
    return atoms_energy(level, smiles) - (bond_energy(level, smiles) or 0.0)


@functools.cache
def frame_of(smiles, trajectory, frame):
    """Positions (float32), energy and forces of a jittered conformer."""
    digest = hashlib.sha256(f"{smiles} {trajectory} {frame}".encode()).digest()
    rest, potential, least = _conformer(smiles)
    jitter = np.random.default_rng(int.from_bytes(digest[:8], "big")).normal(0.0, 0.02, rest.shape)
    positions = (rest + jitter).astype(np.float32)
    energy, forces = potential.singlepoint(positions)
    return positions, total_energy("gfn2-xtb", smiles) + energy - least, forces.astype(np.float32)


def row_of(task, split, word, frame):
    numbers = atomic_numbers_of(word.smiles)
    positions, energy, forces = frame_of(word.smiles, SPLIT_TRAJECTORY[split], frame)
    return {
        "molecule_id": word.molecule_id,
        "smiles": word.smiles,
        "left": word.left,
        "spacer": word.spacer,
        "right": word.right,
        "subset": subset_of(task, word) if split == "test_ood" else "",
        "trajectory": SPLIT_TRAJECTORY[split],
        "frame": frame,
        "n_atoms": len(numbers),
        "atomic_numbers": numbers.tolist(),
        "positions": positions.ravel(),
        "energy": energy,
        "forces": forces.ravel(),
    }


def rows_of(task, split):
    words = task.ood_words() if split == "test_ood" else task.train_words()
    bursts = find_edition(EDITION).bursts(split)
    frames = [burst * FRAMES_PER_BURST + index for burst in bursts for index in range(FRAMES_PER_BURST)]
    return [row_of(task, split, word, frame) for word in words for frame in frames]


def path_of(directory, config, split):
    return directory / config / f"{split}-00000-of-00001.parquet"


def write_folder(directory: Path, tasks=("task2",)):
    for name in tasks:
        (directory / name).mkdir(parents=True)
        for split in SPLITS:
            table = pa.Table.from_pylist(rows_of(TASKS[name], split), schema=with_metadata(METADATA))
            pq.write_table(table, path_of(directory, name, split))
    return directory


def edit_rows(path, edit):
    """Rewrites a file after `edit` has changed its rows, a list of dictionaries, in place."""
    table = pq.read_table(path)
    rows = table.to_pylist()
    edit(rows)
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), path)
