"""A whole data-set folder made in a second or two: real words and bonds, springs for forces."""

import functools
import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dataset_builders.editions import FRAMES_PER_BURST, SPLIT_TRAJECTORY, SPLITS, find_edition
from dataset_builders.environments import subset_of
from dataset_builders.mmff94 import atomic_numbers_of, molecule
from dataset_builders.schema import with_metadata
from dataset_builders.tasks import TASKS

EDITION = "5/5/5/5"
METADATA = {
    "edition": EDITION,
    "level_of_theory": {"method": "GFN2-xTB"},
    "seed": 0,
    "versions": {"rdkit": "1.0", "tblite": "2.0"},
}

# Isolated atoms with GFN2-xTB, eV, rounded: what matters is that composition decides the energy.
_ATOM_ENERGIES = {1: -10.7, 6: -48.8, 7: -70.9, 8: -102.5, 9: -125.7, 16: -85.6, 17: -122.0}
_SPRING = 20.0  # eV/Å²


@functools.cache
def _conformer(smiles):
    from rdkit import Chem
    from rdkit.Chem import rdDistGeom

    mol = Chem.Mol(molecule(smiles))
    parameters = rdDistGeom.ETKDGv3()
    parameters.randomSeed = 11
    assert rdDistGeom.EmbedMolecule(mol, parameters) == 0
    bonds = np.array([(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()) for bond in mol.GetBonds()])
    return np.array(mol.GetConformer().GetPositions()), bonds


@functools.cache
def frame_of(smiles, trajectory, frame):
    """Positions (float32), energy and forces of a jittered conformer; the forces of bonds as springs."""
    digest = hashlib.sha256(f"{smiles} {trajectory} {frame}".encode()).digest()
    rest, bonds = _conformer(smiles)
    jitter = np.random.default_rng(int.from_bytes(digest[:8], "big")).normal(0.0, 0.02, rest.shape)
    positions = (rest + jitter).astype(np.float32)
    arms = (positions[bonds[:, 1]] - positions[bonds[:, 0]]).astype(float)
    lengths = np.linalg.norm(arms, axis=1)
    stretches = lengths - np.linalg.norm(rest[bonds[:, 1]] - rest[bonds[:, 0]], axis=1)
    pulls = (_SPRING * stretches / lengths)[:, None] * arms
    forces = np.zeros(rest.shape)
    np.add.at(forces, bonds[:, 0], pulls)
    np.add.at(forces, bonds[:, 1], -pulls)
    energy = sum(_ATOM_ENERGIES[int(number)] for number in atomic_numbers_of(smiles))
    return positions, float(energy + 0.5 * _SPRING * (stretches**2).sum()), forces.astype(np.float32)


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
