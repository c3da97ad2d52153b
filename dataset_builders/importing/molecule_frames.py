"""Collects trajectories: identifies molecules, reorders atoms, checks every frame and assigns it to its split."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Final, TypeAlias

import numpy as np
import pyarrow as pa

from dataset_builders.certify.row_checks import Frames, Place, Problem, frame_problems, frames_by_molecule
from dataset_builders.chemistry.environments import subset_of
from dataset_builders.chemistry.identify import Identifier, Identity, name_of
from dataset_builders.chemistry.mmff94 import atomic_numbers_of
from dataset_builders.chemistry.same_geometry import earlier_equals, signatures
from dataset_builders.core.arrays import FloatArray, IntArray
from dataset_builders.core.errors import DataError
from dataset_builders.core.hashes import file_sha256
from dataset_builders.folder.provenance import ImportedFile, ImportedTrajectory, ImportRecord
from dataset_builders.folder.schema import SCHEMA
from dataset_builders.importing.import_map import ImportMap
from dataset_builders.importing.source_files import SourceFile
from dataset_builders.importing.trajectories import RawFrame, read_frames
from dataset_builders.tasks.editions import MAX_FRAMES, SPLITS, SplitName, TrajectoryName, split_of_frame
from dataset_builders.tasks.words import Word

Geometry: TypeAlias = tuple[IntArray, FloatArray]
"""Atomic numbers, shape (n_atoms,), and positions, shape (n_atoms, 3), Å."""

_TRIES: Final = 10
"""Frames of a file that are tried to identify its molecule, since the first may be invalid."""


@dataclass(slots=True)
class _Series:
    """Frames collected from one trajectory of a molecule."""

    n_frames: int = 0
    left_out: list[int] = field(default_factory=list)


class Collector:
    """Collects trajectories, file by file.

    Args:
        how: Description of the trajectories.

    Attributes:
        tables: Rows of each split, in the schema of a split.
        problems: Mismatches in the files.
    """

    def __init__(self, how: ImportMap) -> None:
        self.tables: dict[SplitName, list[pa.Table]] = {split: [] for split in SPLITS}
        self.problems: list[Problem] = []
        self._how = how
        self._ood = frozenset(how.task.ood_words())
        self._identifier = Identifier((*how.task.train_words(), *how.task.ood_words()))
        self._files: list[ImportedFile] = []
        self._series: defaultdict[tuple[str, TrajectoryName], _Series] = defaultdict(_Series)
        self._known: dict[str, FloatArray] = {}

    def n_rows(self) -> dict[SplitName, int]:
        """Number of frames of each split."""
        return {split: sum(table.num_rows for table in tables) for split, tables in self.tables.items()}

    def record(self, repos: Sequence[str] = ()) -> ImportRecord:
        """The import record of the collected frames, for the metadata.

        Args:
            repos: Commits of the Hub that the files were read from, as `org/name@commit`.
        """
        frames: defaultdict[str, dict[TrajectoryName, ImportedTrajectory]] = defaultdict(dict)
        for (molecule_id, trajectory), series in self._series.items():
            found = ImportedTrajectory(n_frames=series.n_frames, left_out=series.left_out)
            frames[molecule_id][trajectory] = found
        how = self._how
        return ImportRecord(
            source=how.source,
            licence=how.licence,
            stride=how.stride,
            temperature=how.temperature,
            repos=list(repos),
            first_frames=how.first_frames,
            files=self._files,
            frames=dict(sorted(frames.items())),
        )

    def all_problems(self) -> tuple[Problem, ...]:
        """Mismatches, and molecules of the task without a trajectory."""
        return (*self.problems, *self._absent())

    def _absent(self) -> Iterator[Problem]:
        task = self._how.task
        wanted: list[tuple[Word, TrajectoryName]] = [(word, "primary") for word in task.ood_words()]
        for word in task.train_words():
            wanted += [(word, "primary"), (word, "secondary")]
        for word, trajectory in wanted:
            if (word.molecule_id, trajectory) not in self._series:
                seen = f"no {trajectory} trajectory of {word.smiles}"
                yield Problem(self._how.config, None, word.molecule_id, "", seen, f"one, for {task.name}")

    def add_file(self, file: SourceFile) -> None:
        """Adds the frames of a file.

        Raises:
            DataError: If the file cannot be read to its end.
        """
        frames: list[tuple[int, RawFrame]] = []
        unusable: dict[int, str] = {}
        spare: list[Geometry] = []
        for index, found in enumerate(read_frames(file.path, self._how)):
            _require_few(index + 1, file.name)
            if isinstance(found, RawFrame):
                frames.append((index, found))
                continue
            unusable[index] = found.problem
            if found.geometry is not None and len(spare) < _TRIES:
                spare.append(found.geometry)
        n_frames = len(frames) + len(unusable)
        sound = [(frame.atomic_numbers, frame.positions) for _, frame in frames[:_TRIES]]
        try:
            identity, elements = self._identity([*sound, *spare])
        except DataError as cause:
            self._keep_file(file, "", n_frames)
            self._report(file, "", None, str(cause), f"a molecule of {self._how.task.name}")
            self._report_unusable(file, "", unusable, "molecule")
            return
        word = identity.word
        self._keep_file(file, word.molecule_id, n_frames)
        if file.trajectory == "secondary" and word in self._ood:
            return
        usable = {index: frame for index, frame in frames if np.array_equal(frame.atomic_numbers, elements)}
        for index, frame in frames:
            if index not in usable:
                unusable[index] = f"{len(frame.atomic_numbers)} atoms, or elements that differ from the previous frames"
        self._report_unusable(file, word.molecule_id, unusable, word.smiles)
        series = self._series[word.molecule_id, file.trajectory]
        _require_few(series.n_frames + n_frames, file.name)
        if self._is_of_wrong_length(file, word, n_frames, series.n_frames):
            left_out = set(range(n_frames))
        else:
            left_out = unusable.keys() | self._take_up(file, identity, usable, series.n_frames)
        series.left_out += [series.n_frames + index for index in sorted(left_out)]
        series.n_frames += n_frames

    def _is_of_wrong_length(self, file: SourceFile, word: Word, n_frames: int, before: int) -> bool:
        """Whether a secondary trajectory, split by the index of its frames, is not of the expected length."""
        first, expected = self._how.first_frames, self._how.n_secondary
        if file.trajectory != "secondary" or first is None or (before, n_frames) == (0, expected):
            return False
        others = f" after {before:,} in other files" if before else ""
        seen = f"a secondary trajectory of {n_frames:,} frames{others}"
        stride = f" (with stride {self._how.stride})" if self._how.stride > 1 else ""
        wanted = (
            f"one file of {expected:,}{stride}: first_frames.validation = {first.validation}, "
            f"first_frames.test_id = {first.test_id}"
        )
        self._report(file, word.molecule_id, None, seen, wanted)
        return True

    def _keep_file(self, file: SourceFile, molecule_id: str, n_frames: int) -> None:
        self._files.append(
            ImportedFile(
                name=file.name,
                sha256=file_sha256(file.path),
                trajectory=file.trajectory,
                molecule_id=molecule_id,
                n_frames=n_frames,
            )
        )

    def _identity(self, geometries: Sequence[Geometry]) -> tuple[Identity, IntArray]:
        """The molecule of a file, and its elements in the order of the file."""
        for numbers, positions in geometries:
            identity = self._identifier.find(numbers, positions)
            if identity is not None:
                return identity, numbers
        if not geometries:
            raise DataError("no frame with readable atoms and positions")
        raise DataError(f"a geometry of {name_of(*geometries[0])}")

    def _take_up(self, file: SourceFile, identity: Identity, frames: dict[int, RawFrame], before: int) -> set[int]:
        """Adds the frames that pass every check; returns the indices of the others."""
        left_out: set[int] = set()
        is_ood = identity.word in self._ood
        by_split: defaultdict[SplitName, list[int]] = defaultdict(list)
        for index in frames:
            split = split_of_frame(file.trajectory, before + index, is_ood=is_ood, n_validation=self._how.n_validation)
            by_split[split].append(index)
        for split, indices in by_split.items():
            subset = subset_of(self._how.task, identity.word) if is_ood else ""
            chosen = [(before + index, frames[index]) for index in indices]
            table = _table(identity, subset, file.trajectory, chosen)
            wrong = self._wrong_rows(table, indices, file, split)
            left_out |= wrong
            self.tables[split].append(table.filter(pa.array([index not in wrong for index in indices], pa.bool_())))
        return left_out

    def _wrong_rows(self, table: pa.Table, indices: Sequence[int], file: SourceFile, split: SplitName) -> set[int]:
        """Indices of deviating frames; reports the causes."""
        how = self._how
        place = Place(file.name, how.config, how.task, how.level, split, how.n_validation)
        wrong: set[int] = set()
        for batch in table.combine_chunks().to_batches():
            rows = np.array(indices, dtype=np.int64)
            for frames in frames_by_molecule(batch, rows, file.name, how.task.vocabulary):
                for problem in frame_problems(frames, place):
                    wrong.add(int(problem.row or 0))
                    self._report(file, problem.molecule_id, problem.row, problem.seen, problem.expected)
                for row in self._repeated(frames):
                    wrong.add(row)
                    seen = "the geometry of an earlier frame"
                    self._report(file, frames.molecule_id, row, seen, "each geometry once")
        return wrong

    def _repeated(self, frames: Frames) -> list[int]:
        """Rows with a geometry of an earlier frame of the molecule."""
        finite = frames.finite
        found = signatures(frames.positions[finite])
        known = self._known.get(frames.molecule_id, found[:0])
        earlier = earlier_equals(np.concatenate([known, found]))[len(known) :]
        self._known[frames.molecule_id] = np.concatenate([known, found[earlier < 0]])
        return [int(row) for row in frames.rows[finite][earlier >= 0]]

    def _report_unusable(self, file: SourceFile, molecule_id: str, unusable: Mapping[int, str], name: str) -> None:
        """Reports unusable frames, with one line for consecutive frames with the same problem."""
        for seen, run in groupby(sorted(unusable), key=lambda index: unusable[index]):
            indices = list(run)
            expected = f"finite energy and forces of a neutral {name}"
            self._report(file, molecule_id, indices[0], seen, expected, n_frames=len(indices))

    def _report(
        self, file: SourceFile, molecule_id: str, index: int | None, seen: str, expected: str, n_frames: int = 1
    ) -> None:
        frame = "" if index is None else f"frame {index * self._how.stride}"
        if n_frames > 1:
            frame += f" and {n_frames - 1:,} more"
        self.problems.append(Problem(file.name, None, molecule_id, frame, seen, expected))


def _require_few(n_frames: int, name: str) -> None:
    if n_frames > MAX_FRAMES:
        raise DataError(
            f"{name}: more than {MAX_FRAMES:,} frames of a molecule in one trajectory; choose a larger stride"
        )


def _table(
    identity: Identity, subset: str, trajectory: TrajectoryName, frames: Iterable[tuple[int, RawFrame]]
) -> pa.Table:
    """Rows in the schema of a split, atoms in the order of the SMILES; each frame is centred on its centroid."""
    numbers = atomic_numbers_of(identity.word.smiles)
    word = identity.word
    rows = [
        {
            "molecule_id": word.molecule_id,
            "smiles": word.smiles,
            "left": word.left,
            "spacer": word.spacer,
            "right": word.right,
            "subset": subset,
            "trajectory": trajectory,
            "frame": number,
            "n_atoms": len(numbers),
            "atomic_numbers": numbers,
            # Far from the origin, float32 would round positions too much for their forces.
            "positions": (frame.positions - frame.positions.mean(axis=0))[identity.order].astype(np.float32).ravel(),
            "energy": frame.energy,
            "forces": frame.forces[identity.order].astype(np.float32).ravel(),
        }
        for number, frame in frames
    ]
    return pa.Table.from_pylist(rows, schema=SCHEMA)
