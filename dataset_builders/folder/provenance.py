"""Provenance of an imported data set, in the metadata of its files.

It has no edition, since the number of frames may differ between molecules; so its files list their frames.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dataset_builders.tasks.editions import MAX_FRAMES, SPLIT_TRAJECTORY, SplitName, TrajectoryName, split_of_frame

IMPORTED: Final = "imported"
"""Placeholder for the edition of an imported data set, and the key of the record below."""

Line = Annotated[str, Field(min_length=1, max_length=500, pattern=r"^[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}]*$")]
"""Text on one line without control characters, since it becomes part of cards and licences."""

_Count = Annotated[int, Field(ge=0, le=MAX_FRAMES)]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class ImportedTrajectory(_Record):
    """The frames of one trajectory of a molecule.

    Attributes:
        n_frames: Number of frames in the files, after the stride.
        left_out: Indices of frames that were left out because they did not match.
    """

    n_frames: _Count
    left_out: list[_Count]


class ImportedFile(_Record):
    """An imported file.

    Attributes:
        name: File name, without its folder; for a file of a folder or repo that was given, its path there.
        sha256: Hash of its content.
        trajectory: Trajectory of its frames.
        molecule_id: The molecule; empty if it was not identified.
        n_frames: Number of its frames, after the stride.
    """

    name: str
    sha256: str
    trajectory: TrajectoryName
    molecule_id: str
    n_frames: _Count


class FirstFrames(_Record):
    """A split of secondary trajectories at one frame: the first frames are validation, those after them test_id.

    Attributes:
        validation: Number of validation frames of a molecule, in frames of the files.
        test_id: Number of test_id frames of a molecule, in frames of the files.
    """

    validation: Annotated[int, Field(ge=1)]
    test_id: Annotated[int, Field(ge=1)]

    def n_validation(self, stride: int) -> int:
        """Number of validation frames of a molecule if every `stride`-th frame is taken."""
        return len(range(0, self.validation, stride))

    def n_frames(self, stride: int) -> int:
        """Number of secondary frames of a molecule if every `stride`-th frame is taken."""
        return len(range(0, self.validation + self.test_id, stride))


class ImportRecord(_Record):
    """Origin of imported frames.

    Attributes:
        source: Source of the data.
        licence: Licence of the data.
        stride: Interval between imported frames; 1 for every frame.
        temperature: Temperature of the molecular dynamics, K.
        repos: Commits of the Hub that files were read from, as `org/name@commit`.
        first_frames: Frames of the secondary trajectories in each split; `None` if every fifth block of frames is
            validation.
        files: The files, in the order of reading.
        frames: Trajectories of each molecule, by molecule id.
    """

    source: Line
    licence: Line
    stride: Annotated[int, Field(ge=1)]
    temperature: Annotated[float, Field(gt=0.0)]
    repos: list[Line] = []
    first_frames: FirstFrames | None = None
    files: list[ImportedFile]
    frames: dict[str, dict[TrajectoryName, ImportedTrajectory]]

    @property
    def n_left_out(self) -> int:
        """Number of frames left out, over all molecules."""
        return sum(len(each.left_out) for found in self.frames.values() for each in found.values())

    @property
    def n_validation(self) -> int | None:
        """Number of validation frames of a molecule, after the stride; `None` if blocks of frames alternate."""
        return None if self.first_frames is None else self.first_frames.n_validation(self.stride)

    def frames_of(self, molecule_id: str, split: SplitName) -> set[int]:
        """Indices of the frames of a molecule in a split."""
        trajectory = SPLIT_TRAJECTORY[split]
        found = self.frames.get(molecule_id, {}).get(trajectory)
        if found is None:
            return set()
        is_ood = split == "test_ood"
        numbers = set(range(found.n_frames)) - set(found.left_out)
        first = self.n_validation
        return {
            frame for frame in numbers if split_of_frame(trajectory, frame, is_ood=is_ood, n_validation=first) == split
        }


def is_imported(metadata: Mapping[str, Any]) -> bool:
    """Whether the metadata of a file declare its frames as imported."""
    return bool(metadata.get("edition") == IMPORTED)


def import_record_of(metadata: Mapping[str, Any]) -> ImportRecord | None:
    """The import record of a file; `None` if its frames were not imported or there is no record."""
    if not is_imported(metadata):
        return None
    try:
        return ImportRecord.model_validate(metadata.get(IMPORTED))
    except ValidationError:
        return None
