"""The folder of an export: data, reference energies, the training record and instructions for training."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from dataset_builders.core.errors import DataError, UsageError
from dataset_builders.core.sole_user import LOCK_NAME, sole_user
from dataset_builders.core.whole_folder import whole_folder
from dataset_builders.tasks.editions import SPLITS, TRAJECTORIES, SplitName
from dataset_builders.tasks.task_document import TaskDocument, declaration_of, first_problem
from harness.core.training_record import (
    RECORD_NAME,
    SplitSize,
    TrainingDataset,
    TrainingRecord,
    read_training_record,
    write_training_record,
)
from harness.data.rows import SplitRows, repeated_frame
from harness.export.dataset_reading import ExportSource, stream
from harness.export.formats import Format
from harness.export.keys import LabelKeys
from harness.export.reference_energies import ENERGIES_NAME, FittedEnergies, TrainStatistics, energies_text
from harness.export.trainer_recipes import recipes_text

RECIPES_NAME: Final = "TRAINING.md"

_TRAJECTORY_BIT: Final = 31  # frames are int32 and not negative
_MOLECULE_BIT: Final = 32


@dataclass(frozen=True, slots=True)
class Export:
    """The outcome of an export.

    Attributes:
        record: The training record for models trained on it.
        energies: Fitted on `train`.
    """

    record: TrainingRecord
    energies: FittedEnergies


@dataclass(slots=True)
class _Tally:
    """Counts of a split, collected while its rows are written.

    Attributes:
        what: The split, for messages.
        molecules: An index for each molecule, by name.
        keys: Molecule, trajectory and frame of each frame, encoded in one number, in pieces.
    """

    what: str
    molecules: dict[str, int] = field(default_factory=dict)
    keys: list[npt.NDArray[np.int64]] = field(default_factory=list)

    def counting(self, pieces: Iterable[SplitRows]) -> Iterator[SplitRows]:
        """Yields the rows unchanged and counts them.

        Raises:
            DataError: After the last piece, if a frame occurs twice.
        """
        for rows in pieces:
            molecule = np.array([self.molecules.setdefault(each, len(self.molecules)) for each in rows.molecule_id])
            secondary = (rows.trajectory == TRAJECTORIES[1]).astype(np.int64)
            self.keys.append((molecule << _MOLECULE_BIT) | (secondary << _TRAJECTORY_BIT) | rows.frame)
            yield rows
        ordered = np.sort(np.concatenate(self.keys))
        twice = np.flatnonzero(ordered[1:] == ordered[:-1])
        if len(twice):
            key = int(ordered[twice[0]])
            trajectory = TRAJECTORIES[key >> _TRAJECTORY_BIT & 1]
            molecule_id = list(self.molecules)[key >> _MOLECULE_BIT]
            raise repeated_frame(self.what, trajectory, key & (2**_TRAJECTORY_BIT - 1), molecule_id)

    def size(self) -> SplitSize:
        """The size of the split."""
        return SplitSize(n_frames=sum(map(len, self.keys)), n_molecules=len(self.molecules))


def write_export(source: ExportSource, form: Format, keys: LabelKeys, out: Path) -> Export:
    """Exports splits of a task into a folder, atomically; an earlier export of the task is replaced.

    Args:
        source: Data to export.
        form: The format.
        keys: Names of the labels.
        out: The folder.

    Raises:
        UsageError: If the folder contains anything but an earlier export of the task.
        DataError: If the data set is corrupt.
        SetupError: If the folder is not writable, or another export is writing to it.
    """
    out = out.resolve()  # also gives `.` a name
    require_free(out, source, form)
    lock = f".{out.name}.export{LOCK_NAME}"
    with sole_user(out.parent, "export", "choose another --out", lock), whole_folder(out) as fresh:
        statistics = TrainStatistics()
        tallies = {split: _Tally(f"{split} of {source.task.name} in {source.id}") for split in source.splits}
        for split, tally in tallies.items():
            pieces = tally.counting(_pieces(source, split, statistics))
            form.write(fresh / form.place(split), pieces, keys)
        if "train" not in tallies:
            for _ in _pieces(source, "train", statistics):
                pass
        fitted = statistics.fit()
        record = _record(source, tallies)
        write_training_record(fresh / RECORD_NAME, record)
        _write(fresh / ENERGIES_NAME, energies_text(record.level_of_theory, fitted))
        _write(fresh / RECIPES_NAME, recipes_text(record, form, keys, fitted))
    return Export(record, fitted)


def require_free(out: Path, source: ExportSource, form: Format) -> None:
    """Checks that a folder may be replaced: that it is absent, empty, or an earlier export of the task.

    Raises:
        UsageError: If it is none of these.
    """
    if not out.exists():
        return
    if not out.is_dir():
        raise UsageError(f"--out {out} is a file; expected a folder")
    present = {path.relative_to(out).as_posix() for path in out.rglob("*")}
    foreign = sorted(present - _names(form))
    if foreign:
        raise UsageError(
            f"--out {out} contains {', '.join(foreign[:3])}{' and more' if len(foreign) > 3 else ''}, which an export "
            f"to {form.name} does not write and would delete; choose another --out"
        )
    if not present:
        return
    try:
        earlier = read_training_record(out / RECORD_NAME)
    except DataError as cause:
        raise UsageError(f"--out {out} is not an export ({cause}); choose another --out") from cause
    found = (earlier.dataset.id, earlier.config)
    wanted = (source.id, source.dataset.level.config(source.task.name))
    if found != wanted:
        raise UsageError(
            f"--out {out} is the export of {found[1]} of {found[0]}, which {wanted[1]} of {wanted[0]} would replace; "
            "choose another --out, or delete it first"
        )


def _names(form: Format) -> set[str]:
    """Names of the files that an export writes, and of those that readers add."""
    names = {RECORD_NAME, ENERGIES_NAME, RECIPES_NAME, *map(form.place, SPLITS)}
    return names | {f"{split}/{name}{end}" for split in SPLITS for name in form.files for end in ("", "-lock")}


def _pieces(source: ExportSource, split: SplitName, statistics: TrainStatistics) -> Iterator[SplitRows]:
    pieces = stream(source.dataset, source.task.name, split)
    return statistics.counting(pieces) if split == "train" else pieces


def _record(source: ExportSource, tallies: Mapping[SplitName, _Tally]) -> TrainingRecord:
    declaration, dataset = declaration_of(source.task), source.dataset
    try:
        return TrainingRecord(
            protocol="from-scratch",
            base=None,
            task=source.task.name,
            task_declaration=None if declaration is None else TaskDocument.model_validate(declaration),
            level_of_theory=dataset.level_of_theory,
            suffix=dataset.level.suffix,
            dataset=TrainingDataset(
                id=source.id, revision=source.revision, edition=dataset.edition, content_hash=dataset.content_hash
            ),
            splits={split: tally.size() for split, tally in tallies.items()},
            molecules=tuple(sorted(set().union(*(tally.molecules for tally in tallies.values())))),
        )
    except ValidationError as cause:
        raise DataError(
            f"the metadata of {source.id} cannot be recorded: {first_problem(cause)}. Build or import the data set "
            "again with single-line names, or rename its folder"
        ) from cause


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")
