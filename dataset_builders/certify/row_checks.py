"""Checks of single rows of a Parquet file.

Rows are grouped by molecule, since all frames of a molecule have the same shape, and checked as arrays. Nothing is
repaired or skipped: every deviation becomes a `Problem`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from dataset_builders.certify.unit_names import ROUGH, TYPICAL_FORCE_SLOPE, force_unit
from dataset_builders.chemistry.environments import subset_of
from dataset_builders.chemistry.levels import Level
from dataset_builders.chemistry.mmff94 import Mmff94, atomic_numbers_of
from dataset_builders.chemistry.sampling import check_bonds
from dataset_builders.core.arrays import FloatArray, IntArray
from dataset_builders.core.errors import ConvergenceError, UsageError
from dataset_builders.core.shown import shown
from dataset_builders.folder.provenance import IMPORTED, import_record_of, is_imported
from dataset_builders.folder.schema import (
    METADATA_KEY,
    SCHEMA,
    SCHEMA_VERSION,
    read_metadata,
    schema_problems,
    with_metadata,
)
from dataset_builders.folder.split_files import stated_level
from dataset_builders.tasks.editions import (
    FRAMES_PER_BURST,
    SPLIT_TRAJECTORY,
    SPLITS,
    Edition,
    SplitName,
    find_edition,
    split_of_frame,
)
from dataset_builders.tasks.fragments import BUILT_IN, Vocabulary
from dataset_builders.tasks.regions import Task
from dataset_builders.tasks.words import Word, parse_word

FORCE_LIMIT: Final = 20.0
"""Largest force on an atom, eV/Å. In 4,790 frames of 96 molecules (GFN2-xTB) the largest was 6.8; forces that were
converted twice, or of coinciding atoms, are much larger."""

NUMBER_LIMIT: Final = 1e12
"""Largest number in any unit, above that of every energy, coordinate and force of a molecule; its powers are finite."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One deviation.

    Attributes:
        file: File, or configuration, relative to the data-set folder.
        row: Index of the row in the file, from 0; `None` if it does not concern one row.
        molecule_id: The molecule; empty if it does not concern one.
        frame: Trajectory and frame, such as `primary 12`; empty if it does not concern one.
        seen: Observed value.
        expected: Expected value.
    """

    file: str
    row: int | None
    molecule_id: str
    frame: str
    seen: str
    expected: str

    def __str__(self) -> str:
        place = self.file if self.row is None else f"{self.file} row {self.row}"
        about = " ".join(shown(part) for part in (self.molecule_id, self.frame) if part)
        return f"{place}{f' ({about})' if about else ''}: {self.seen}; expected {self.expected}"


@dataclass(frozen=True, slots=True)
class Place:
    """The file that is checked, and its expected content.

    Attributes:
        file: Path relative to the data-set folder, for messages.
        config: Name of the configuration.
        task: The task.
        level: Level of theory of its labels.
        split: The split.
        n_validation: Number of secondary frames that are validation, if they are the first ones; see `split_of_frame`.
    """

    file: str
    config: str
    task: Task
    level: Level
    split: SplitName
    n_validation: int | None = None


@dataclass(frozen=True, slots=True)
class Frames:
    """Rows of a batch with the same molecule id and number of atoms.

    Attributes:
        file: File name, for messages.
        molecule_id: Molecule id in the rows.
        rows: Indices of the rows in the file, shape (n_frames,).
        columns: The scalar columns, each of shape (n_frames,).
        atomic_numbers: Shape (n_frames, n_atoms).
        positions: Shape (n_frames, n_atoms, 3), float32, Å.
        forces: Shape (n_frames, n_atoms, 3), float32, eV/Å.
        vocabulary: Known fragments.
    """

    file: str
    molecule_id: str
    rows: IntArray
    columns: Mapping[str, npt.NDArray[Any]]
    atomic_numbers: IntArray
    positions: FloatArray
    forces: FloatArray
    vocabulary: Vocabulary

    @property
    def word(self) -> Word | None:
        """The word of the molecule; `None` if the id is not valid."""
        try:
            return parse_word(self.molecule_id, self.vocabulary)
        except UsageError:
            return None

    @property
    def finite(self) -> npt.NDArray[np.bool_]:
        """Mask of the frames with only finite numbers of at most `NUMBER_LIMIT`, shape (n_frames,)."""
        return self.largest <= NUMBER_LIMIT  # false for NaN

    @property
    def largest(self) -> FloatArray:
        """Largest absolute value of energy, positions and forces of each frame, shape (n_frames,); NaN if one is."""
        sizes = (np.abs(each).max(axis=(1, 2)) for each in (self.positions, self.forces))
        return np.asarray(np.max([np.abs(self.columns["energy"]), *sizes], axis=0), dtype=np.float64)

    def problem(self, index: int, seen: str, expected: str) -> Problem:
        """A problem of the frame with this index."""
        frame = f"{self.columns['trajectory'][index]} {self.columns['frame'][index]}"
        return Problem(self.file, int(self.rows[index]), self.molecule_id, frame, seen, expected)


def file_problems(schema: pa.Schema, file: str) -> list[Problem]:
    """Deviations of a file's schema and of its metadata."""
    problems = [
        Problem(file, None, "", "", found, f"the columns of schema {SCHEMA_VERSION}; its rows were not checked")
        for found in schema_problems(schema)
    ]
    metadata = usable_metadata(schema)
    if not metadata:
        expected = f"a JSON object under the key {METADATA_KEY.decode()} of the schema metadata"
        return [*problems, Problem(file, None, "", "", "no readable metadata", expected)]
    for key, expected in read_metadata(with_metadata({})).items():
        # The description of a column may change without a change of the data.
        if key != "columns" and metadata.get(key) != expected:
            problems.append(Problem(file, None, "", "", f"metadata {key} = {metadata.get(key)}", f"{expected}"))
    if is_imported(metadata):
        if import_record_of(metadata) is None:
            expected = "an import record with the origin of the frames and the frames of each molecule"
            problems.append(Problem(file, None, "", "", f"no usable metadata {IMPORTED}", expected))
    elif edition_of(metadata) is None:
        seen = f"metadata edition = {metadata.get('edition')}"
        problems.append(Problem(file, None, "", "", seen, "the name of an edition, or its sizes as 100/10/5/10"))
    if frame_counts_of(metadata) is None:
        seen = f"metadata subset = {metadata['subset']}"
        problems.append(Problem(file, None, "", "", seen, f"frames per molecule for some of {' '.join(SPLITS)}"))
    if not method_of(metadata):
        seen = f"metadata level_of_theory = {metadata.get('level_of_theory')}"
        problems.append(Problem(file, None, "", "", seen, "an object that names the method"))
    return problems


def usable_metadata(schema: pa.Schema) -> dict[str, Any]:
    """The metadata of a file; empty if there are none or they are not a JSON object."""
    try:
        return read_metadata(schema)
    except (TypeError, ValueError):
        return {}


def edition_of(metadata: Mapping[str, Any]) -> Edition | None:
    """The edition according to the metadata of a file; `None` if it is missing or invalid."""
    try:
        return find_edition(str(metadata.get("edition")))
    except UsageError:
        return None


def frame_counts_of(metadata: Mapping[str, Any]) -> dict[SplitName, int] | None:
    """Number of frames of each molecule, by split, if a file declares only some frames of its edition.

    Empty if the file declares nothing, `None` if the declaration is invalid.
    """
    subset = metadata.get("subset", {})
    if not isinstance(subset, dict) or not all(name in SPLITS for name in subset):
        return None
    counts = {split: subset[split] for split in SPLITS if split in subset}
    return counts if all(type(count) is int and count >= 0 for count in counts.values()) else None


def molecules_of(metadata: Mapping[str, Any]) -> tuple[str, ...]:
    """Ids of the molecules of a slice, from the metadata of a file; empty for a complete edition."""
    names = metadata.get("molecules", [])
    return tuple(str(name) for name in names) if isinstance(names, list) else ()


def method_of(metadata: Mapping[str, Any]) -> str:
    """The method of a file's labels, from its metadata; empty if not stated."""
    return stated_level(metadata)


def sound_rows(batch: pa.RecordBatch, first_row: int, file: str) -> tuple[pa.RecordBatch, IntArray, list[Problem]]:
    """Removes malformed rows: missing values, and lists whose length does not match `n_atoms`.

    Args:
        batch: Rows in the schema of a split.
        first_row: Index of the first row in the file.
        file: File name, for messages.

    Returns:
        The remaining rows, their indices in the file, and a problem for each removed row.
    """
    problems = []
    sound = np.ones(batch.num_rows, dtype=bool)
    for name in SCHEMA.names:
        for index in np.flatnonzero(batch.column(name).is_null().to_numpy(zero_copy_only=False) & sound):
            sound[index] = False
            problems.append(Problem(file, first_row + int(index), "", "", f"no value of {name}", "a value"))
    n_atoms = batch.column("n_atoms").fill_null(0).to_numpy().astype(np.int64)
    wanted = {"atomic_numbers": n_atoms, "positions": 3 * n_atoms, "forces": 3 * n_atoms}
    for name, lengths in wanted.items():
        found = pc.list_value_length(batch.column(name)).fill_null(-1).to_numpy()
        for index in np.flatnonzero(((found != lengths) | (n_atoms < 1)) & sound):
            sound[index] = False
            seen = f"{found[index]} values of {name} with n_atoms {n_atoms[index]}"
            expected = "n_atoms 1 or more, as many atomic numbers, and 3 n_atoms positions and forces"
            molecule_id = str(batch.column("molecule_id")[int(index)])
            problems.append(Problem(file, first_row + int(index), molecule_id, "", seen, expected))
    rows = first_row + np.flatnonzero(sound)
    return batch.filter(pa.array(sound)), rows, problems


def frames_by_molecule(
    batch: pa.RecordBatch, rows: IntArray, file: str, vocabulary: Vocabulary = BUILT_IN
) -> Iterator[Frames]:
    """Groups well-formed rows into arrays of frames of each molecule.

    Args:
        batch: Rows without missing values, with lists that match `n_atoms`.
        rows: Their indices in the file, shape (n_rows,).
        file: File name, for messages.
        vocabulary: Known fragments.
    """
    columns = {
        field.name: batch.column(field.name).to_numpy(zero_copy_only=False)
        for field in SCHEMA
        if not pa.types.is_list(field.type)
    }
    n_atoms = columns["n_atoms"].astype(np.int64)
    starts = np.concatenate([[0], np.cumsum(n_atoms)])
    numbers = _flat(batch, "atomic_numbers")
    positions, forces = _flat(batch, "positions").reshape(-1, 3), _flat(batch, "forces").reshape(-1, 3)
    encoded = batch.column("molecule_id").dictionary_encode()
    keys = encoded.indices.to_numpy().astype(np.int64) * 2**16 + n_atoms
    for key in np.unique(keys):
        chosen = np.flatnonzero(keys == key)
        atoms = starts[chosen][:, None] + np.arange(int(key) % 2**16)
        yield Frames(
            file=file,
            molecule_id=str(encoded.dictionary[int(key) // 2**16]),
            rows=rows[chosen],
            columns={name: values[chosen] for name, values in columns.items()},
            atomic_numbers=numbers[atoms],
            positions=positions[atoms],
            forces=forces[atoms],
            vocabulary=vocabulary,
        )


def _flat(batch: pa.RecordBatch, name: str) -> npt.NDArray[Any]:
    values = batch.column(name).flatten()
    if pa.types.is_integer(values.type):
        values = values.fill_null(0)  # a missing element becomes element 0, a missing float NaN
    return np.asarray(values.to_numpy(zero_copy_only=False))


def frame_problems(frames: Frames, place: Place) -> list[Problem]:
    """All deviations of the frames of a molecule that can be detected without other files."""
    word = frames.word
    if word is None:
        expected = "a molecule id in standard form, such as COOH-6-NH2"
        return [frames.problem(index, "an invalid molecule id", expected) for index in range(len(frames.rows))]
    problems = [*_word_problems(frames, word, place), *_place_problems(frames, word, place)]
    problems.extend(_number_problems(frames))
    problems.extend(_label_problems(frames, place.level))
    numbers = atomic_numbers_of(word.smiles)
    if frames.atomic_numbers.shape[1] != len(numbers):
        seen, expected = f"n_atoms {frames.atomic_numbers.shape[1]}", f"{len(numbers)} atoms of {word.smiles}"
        return [*problems, *(frames.problem(index, seen, expected) for index in range(len(frames.rows)))]
    for index in np.flatnonzero((frames.atomic_numbers != numbers).any(axis=1)):
        atom = int(np.flatnonzero(frames.atomic_numbers[index] != numbers)[0])
        seen = f"atomic number {frames.atomic_numbers[index, atom]} of atom {atom}"
        problems.append(frames.problem(int(index), seen, f"{numbers[atom]}, as in {word.smiles}"))
    return [*problems, *_bond_problems(frames, word)]


def _number_problems(frames: Frames) -> Iterator[Problem]:
    for index in np.flatnonzero(~frames.finite):
        largest = frames.largest[index]
        seen = (
            f"a number of {largest:.1g} among energy, positions and forces"
            if np.isfinite(largest)
            else "energy, positions or forces that are not finite"
        )
        yield frames.problem(int(index), seen, f"finite numbers of at most {NUMBER_LIMIT:g}")


def _word_problems(frames: Frames, word: Word, place: Place) -> Iterator[Problem]:
    is_ood = place.split == "test_ood"
    expected_values = {
        "smiles": word.smiles,
        "left": word.left,
        "spacer": word.spacer,
        "right": word.right,
        "subset": subset_of(place.task, word) if is_ood else "",
    }
    for name, expected in expected_values.items():
        for index in np.flatnonzero(frames.columns[name] != expected):
            yield frames.problem(int(index), f"{name} {frames.columns[name].tolist()[index]!r}", repr(expected))
    region = place.task.ood_words() if is_ood else place.task.train_words()
    if word not in region:
        kind = "OOD" if is_ood else "training"
        expected = f"only the {kind} molecules of {place.task.name}"
        for number in range(len(frames.rows)):
            yield frames.problem(number, f"this molecule in {place.split}", expected)


def _place_problems(frames: Frames, word: Word, place: Place) -> Iterator[Problem]:
    is_ood = place.split == "test_ood"
    trajectory = SPLIT_TRAJECTORY[place.split]
    frame = frames.columns["frame"]
    strange = (frames.columns["trajectory"] != trajectory) | (frame < 0)
    for index in np.flatnonzero(strange):
        expected = f"frames of the {trajectory} trajectory from 0 in {place.split}"
        yield frames.problem(int(index), "a frame of another trajectory or with a negative index", expected)
    bursts = frame // FRAMES_PER_BURST
    for burst in np.unique(bursts[~strange]):
        first = int(burst) * FRAMES_PER_BURST
        split = split_of_frame(trajectory, first, is_ood=is_ood, n_validation=place.n_validation)
        if split != place.split:
            for index in np.flatnonzero((bursts == burst) & ~strange):
                yield frames.problem(int(index), f"burst {burst} in {place.split}", f"this burst in {split}")


def _label_problems(frames: Frames, level: Level) -> Iterator[Problem]:
    finite = np.flatnonzero(frames.finite)
    forces = frames.forces[finite].astype(np.float64)
    arms = frames.positions[finite].astype(np.float64)
    arms -= arms.mean(axis=1, keepdims=True)
    measures = (
        ("a force", np.linalg.norm(forces, axis=2).max(axis=1), FORCE_LIMIT, "eV/Å"),
        ("forces that sum to", np.linalg.norm(forces.sum(axis=1), axis=1), level.net_force, "eV/Å"),
        ("torques that sum to", np.linalg.norm(np.cross(arms, forces).sum(axis=1), axis=1), level.net_torque, "eV"),
    )
    for what, sizes, limit, unit in measures:
        far = np.flatnonzero(sizes > limit)
        hint = _unit_hint(frames, finite[far]) if len(far) and limit == FORCE_LIMIT else ""
        for index in far:
            seen = f"{what} {sizes[index]:.2g} {unit}{hint}"
            yield frames.problem(int(finite[index]), seen, f"at most {limit:g} {unit}")


def _unit_hint(frames: Frames, chosen: IntArray) -> str:
    """Likely unit of forces that are too large, from a comparison with MMFF94; empty if no unit matches."""
    word = frames.word
    if word is None or not np.array_equal(frames.atomic_numbers[chosen[0]], atomic_numbers_of(word.smiles)):
        return ""
    try:
        potential = Mmff94(word.smiles)
    except UsageError:
        return ""
    found, expected = (
        frames.forces[chosen],
        np.stack([potential.singlepoint(each)[1] for each in frames.positions[chosen]]),
    )
    known = np.isfinite(expected).all(axis=(1, 2))  # not for coinciding atoms
    norm = float((expected[known] ** 2).sum())
    slope = float((found[known] * expected[known]).sum()) / norm if norm else 0.0
    unit = force_unit(slope / TYPICAL_FORCE_SLOPE, ROUGH) if slope else None
    return "" if unit is None else f": {unit}"


def _bond_problems(frames: Frames, word: Word) -> Iterator[Problem]:
    finite = np.flatnonzero(frames.finite)
    try:
        check_bonds(word.smiles, frames.positions[finite])
    except ConvergenceError:
        for index in finite:
            try:
                check_bonds(word.smiles, frames.positions[[index]])
            except ConvergenceError as cause:
                seen = str(cause).replace(" in frame 0 of the burst", "")  # frame 0 is this row
                yield frames.problem(int(index), seen, "the bonds of the SMILES and no others")
