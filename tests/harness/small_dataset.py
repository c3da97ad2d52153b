"""A data-set folder of a few molecules, made in a second: jittered conformers with MMFF94 labels."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dataset_builders.chemistry.levels import Level
from dataset_builders.chemistry.mmff94 import Mmff94, atomic_numbers_of
from dataset_builders.chemistry.sampling import embed
from dataset_builders.folder.schema import SCHEMA, with_metadata
from dataset_builders.tasks.editions import EDITIONS, FRAMES_PER_BURST, SPLIT_TRAJECTORY, SPLITS, SplitName
from dataset_builders.tasks.words import Word, parse_word

TRAIN = {"task1": ("H-2-H", "OH-2-H", "OH-3-H", "F-2-H"), "task4": ("F-2-H", "F-6-H", "OH-2-H", "OH-3-H")}
OOD = {"task1": ("OH-6-H", "F-6-H"), "task4": ("OH-6-H", "OH-8-H")}
METADATA = {"edition": "tiny", "level_of_theory": {"method": "MMFF94"}}


def write_dataset(directory: Path, metadata: Mapping[str, Any] = METADATA) -> Path:
    """Writes two tasks that share molecules, with as many frames of each as the mini edition."""
    for task, training in TRAIN.items():
        for split in SPLITS:
            molecules = OOD[task] if split == "test_ood" else training
            table = pa.concat_tables([frames_of(parse_word(molecule_id), split) for molecule_id in molecules])
            write_split(directory, task, split, table, metadata)
    return directory


def write_split(
    directory: Path, task: str, split: str, table: pa.Table, metadata: Mapping[str, Any] = METADATA
) -> Path:
    path = directory / task / f"{split}-00000-of-00001.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table.replace_schema_metadata(with_metadata(metadata).metadata), path)
    return path


def frames_of(word: Word, split: SplitName) -> pa.Table:
    """The frames of a molecule; the same ones wherever a trajectory is used."""
    bursts = EDITIONS["mini"].bursts(split)
    trajectory = SPLIT_TRAJECTORY[split]
    numbers, field = atomic_numbers_of(word.smiles), Mmff94(word.smiles)
    conformer = embed(word.smiles, 7)
    rows = []
    for frame in (burst * FRAMES_PER_BURST + index for burst in bursts for index in range(FRAMES_PER_BURST)):
        random = np.random.default_rng([len(numbers), frame, trajectory == "primary"])
        positions = (conformer + random.normal(scale=0.05, size=conformer.shape)).astype(np.float32)
        energy, forces = field.singlepoint(positions)
        rows.append(
            {
                "molecule_id": word.molecule_id,
                "smiles": word.smiles,
                "left": word.left,
                "spacer": word.spacer,
                "right": word.right,
                "subset": "",
                "trajectory": trajectory,
                "frame": frame,
                "n_atoms": len(numbers),
                "atomic_numbers": numbers.tolist(),
                "positions": positions.ravel(),
                "energy": energy,
                "forces": forces.astype(np.float32).ravel(),
            }
        )
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def write_level(directory: Path, level: Level, tasks: Sequence[str], frames: Mapping[str, int]) -> Path:
    """Adds the same frames at another level of theory: labels a little off, some frames of each molecule and split.

    A split without frames gets no file, and every file says how many there are.
    """
    metadata = {"edition": "tiny", "level_of_theory": {"method": level.method}, "subset": dict(frames)}
    for task in tasks:
        for split in (split for split in SPLITS if frames[split]):
            table = pq.read_table(directory / task / f"{split}-00000-of-00001.parquet")
            rows = pa.Table.from_pylist(list(_first_of_each(table.to_pylist(), frames[split])), schema=SCHEMA)
            write_split(directory, level.config(task), split, rows, metadata)
    return directory


def _first_of_each(rows: Iterable[dict[str, Any]], n_frames: int) -> Iterator[dict[str, Any]]:
    taken: Counter[str] = Counter()
    for row in rows:
        taken[row["molecule_id"]] += 1
        if taken[row["molecule_id"]] <= n_frames:
            yield row | {"energy": 1.1 * row["energy"] - 30.0, "forces": [1.1 * each for each in row["forces"]]}
