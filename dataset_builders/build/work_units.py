"""Work units: bursts of one molecule, computed, labelled and written atomically.

A unit depends only on its own record and the seed of the build. An interrupted build resumes with the units whose files
are missing, and its files are identical to those of an uninterrupted one.
"""

import hashlib
import json
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dataset_builders.chemistry.mmff94 import atomic_numbers_of
from dataset_builders.chemistry.sampling import sample_burst
from dataset_builders.chemistry.xtb import cold_singlepoint
from dataset_builders.core.arrays import FloatArray
from dataset_builders.core.arrow_arrays import numpy_of
from dataset_builders.core.errors import MlipOodError
from dataset_builders.core.whole_file import whole_file
from dataset_builders.core.writing import writing
from dataset_builders.folder.schema import SCHEMA
from dataset_builders.tasks.editions import FRAMES_PER_BURST, TRAJECTORIES, Edition, TrajectoryName
from dataset_builders.tasks.regions import Task
from dataset_builders.tasks.words import Word

BURSTS_PER_UNIT: Final = 5

_DIGEST_KEY: Final = b"sha256"
"""Key of the checksum of the rows in the metadata of a unit file; earlier versions wrote none."""


@dataclass(frozen=True, slots=True, order=True)
class WorkUnit:
    """Bursts `first_burst` to `end_burst` (exclusive) of one trajectory of one molecule."""

    first_burst: int
    end_burst: int
    trajectory: TrajectoryName
    word: Word

    @property
    def molecule_id(self) -> str:
        """Name of the molecule."""
        return self.word.molecule_id

    def path(self, work_dir: Path) -> Path:
        """File of the unit's frames."""
        return work_dir / self.molecule_id / f"{self.trajectory}-{self.first_burst:05d}-{self.end_burst:05d}.parquet"

    def __str__(self) -> str:
        return f"{self.molecule_id} {self.trajectory} bursts {self.first_burst} to {self.end_burst - 1}"


@dataclass(frozen=True, slots=True)
class UnitReport:
    """Outcome of a unit.

    Attributes:
        unit: The unit.
        seconds: Wall-clock time.
        retries: Errors of failed seeds, for each burst that needed another seed.
        error: Cause of the failure, or `None`.
    """

    unit: WorkUnit
    seconds: float
    retries: tuple[str, ...] = ()
    error: str | None = None


def has_units(work_dir: Path) -> bool:
    """Whether a work folder contains files of units."""
    return any(any(work_dir.glob(f"*/{trajectory}-*-*.parquet")) for trajectory in TRAJECTORIES)


def plan_units(tasks: Sequence[Task], edition: Edition, molecules: Collection[str] = ()) -> list[WorkUnit]:
    """All units of an edition of these tasks, with the first bursts of all molecules first.

    Args:
        tasks: The tasks.
        edition: Number of frames of each molecule.
        molecules: Ids of the molecules to include; empty for all.
    """
    needed = units_by_molecule(tasks, edition)
    return sorted(unit for name, units in needed.items() if not molecules or name in molecules for unit in units)


def units_by_molecule(tasks: Sequence[Task], edition: Edition) -> dict[str, list[WorkUnit]]:
    """The units of each molecule, by its id, in the order of the frames."""
    needed = _bursts_needed(tasks, edition)
    return {word.molecule_id: list(_units_of(word, counts)) for word, counts in needed.items()}


def _units_of(word: Word, counts: tuple[int, int]) -> Iterator[WorkUnit]:
    for trajectory, count in zip(TRAJECTORIES, counts, strict=True):
        for first in range(0, count, BURSTS_PER_UNIT):
            yield WorkUnit(first, min(first + BURSTS_PER_UNIT, count), trajectory, word)


def _bursts_needed(tasks: Sequence[Task], edition: Edition) -> dict[Word, tuple[int, int]]:
    needed: dict[Word, tuple[int, int]] = {}
    last_of_secondary = max(edition.bursts("validation")[-1], edition.bursts("test_id")[-1])
    in_training = (len(edition.bursts("train")), last_of_secondary + 1)
    in_ood = (len(edition.bursts("test_ood")), 0)
    for task in tasks:
        for words, counts in ((task.train_words(), in_training), (task.ood_words(), in_ood)):
            for word in words:
                primary, secondary = needed.get(word, (0, 0))
                needed[word] = (max(primary, counts[0]), max(secondary, counts[1]))
    return needed


def make_unit(unit: WorkUnit, work_dir: Path, seed: int) -> UnitReport:
    """Computes the frames of a unit, labels them and writes its file, in one worker.

    An expected failure is returned in the report, so that the build continues with the other molecules.

    Raises:
        SetupError: If the unit cannot be written: neither could the others, which would be computed and lost.
    """
    started = time.perf_counter()
    retries: list[str] = []
    try:
        tables = []
        word = unit.word
        for number in range(unit.first_burst, unit.end_burst):
            burst = sample_burst(word.smiles, unit.molecule_id, unit.trajectory, number, seed)
            retries.extend(f"{unit.molecule_id} {unit.trajectory} burst {number}: {cause}" for cause in burst.causes)
            tables.append(label_burst(word, unit.trajectory, number, burst.positions))
    except (MlipOodError, OSError) as cause:
        return UnitReport(unit, time.perf_counter() - started, tuple(retries), f"{unit}: {cause}")
    with writing(work_dir, "choose another folder with --work"):
        write_table(_with_digest(pa.concat_tables(tables)), unit.path(work_dir))
    return UnitReport(unit, time.perf_counter() - started, tuple(retries))


def label_burst(word: Word, trajectory: TrajectoryName, burst: int, positions: FloatArray) -> pa.Table:
    """Labels the frames of a burst with GFN2-xTB, each from a cold start.

    Args:
        word: The molecule.
        trajectory: Trajectory of the burst.
        burst: Index of the burst.
        positions: Shape (FRAMES_PER_BURST, n_atoms, 3), float32, Å; the labels are those of the rounded geometries.

    Returns:
        Rows in the schema of a split, with an empty `subset`.

    Raises:
        ConvergenceError: If an SCF does not converge.
    """
    numbers = atomic_numbers_of(word.smiles)
    labels = [cold_singlepoint("GFN2-xTB", numbers, frame) for frame in positions]
    rows = len(labels)
    columns = {
        "molecule_id": [word.molecule_id] * rows,
        "smiles": [word.smiles] * rows,
        "left": [word.left] * rows,
        "spacer": [word.spacer] * rows,
        "right": [word.right] * rows,
        "subset": [""] * rows,
        "trajectory": [trajectory] * rows,
        "frame": [burst * FRAMES_PER_BURST + index for index in range(rows)],
        "n_atoms": [len(numbers)] * rows,
        "atomic_numbers": [numbers] * rows,
        "positions": [frame.ravel() for frame in positions],
        "energy": [energy for energy, _ in labels],
        "forces": [forces.astype(np.float32).ravel() for _, forces in labels],
    }
    return pa.table(columns, schema=SCHEMA)


def write_table(table: pa.Table, path: Path) -> None:
    """Writes a Parquet file atomically, with checksums of its pages."""
    with whole_file(path) as partial:
        pq.write_table(table, partial, compression="zstd", write_page_checksum=True)


def read_unit(unit: WorkUnit, work_dir: Path) -> pa.Table | None:
    """The frames of a unit; `None` if its file is missing, damaged, incomplete or of another molecule."""
    table = _read_rows(unit.path(work_dir))
    if table is None:
        return None
    expected = list(range(unit.first_burst * FRAMES_PER_BURST, unit.end_burst * FRAMES_PER_BURST))
    if table["frame"].to_pylist() != expected:
        return None
    if set(table["smiles"].to_pylist()) != {unit.word.smiles}:  # a fragment may have been redefined
        return None
    return table


def _read_rows(path: Path) -> pa.Table | None:
    """The rows of a unit file; `None` if it cannot be read, its columns are others, or its checksum does not match."""
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            table = file.read()
        table.validate(full=True)  # Arrow reads text without a look at whether it is UTF-8.
    except (OSError, ValueError, pa.ArrowException):
        return None
    if not table.schema.equals(SCHEMA):
        return None
    stated = (table.schema.metadata or {}).get(_DIGEST_KEY)
    if stated is not None and stated != _digest(table):
        return None
    return table.cast(SCHEMA)  # Without metadata, which a changed byte may alter.


def _with_digest(table: pa.Table) -> pa.Table:
    # Checksums of pages do not cover their headers and the footer, where a changed byte also changes rows.
    return table.replace_schema_metadata({_DIGEST_KEY: _digest(table)})


def _digest(table: pa.Table) -> bytes:
    """Checksum of rows in `SCHEMA`, independent of their encoding in a file."""
    digest = hashlib.sha256()
    for column in table.columns:
        values = column.combine_chunks()
        if pa.types.is_list(values.type):
            digest.update(numpy_of(pc.list_value_length(values)).tobytes())
            values = values.flatten()
        is_text = pa.types.is_string(values.type)
        digest.update(json.dumps(values.to_pylist()).encode() if is_text else numpy_of(values).tobytes())
    return digest.hexdigest().encode()
