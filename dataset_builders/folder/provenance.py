"""What a data set says of itself that was imported and not built.

It is of no edition, since its molecules may differ in their numbers of frames; so its files say which frames there are.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dataset_builders.tasks.editions import SPLIT_TRAJECTORY, SplitName, TrajectoryName, split_of_frame

IMPORTED: Final = "imported"
"""What stands where a data set that was built has the name of its edition; and the key of the record below."""

_Count = Annotated[int, Field(ge=0)]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class ImportedTrajectory(_Record):
    """The frames of a trajectory of a molecule.

    Attributes:
        n_frames: Frames in the files, after the stride.
        left_out: Numbers of those that were left out, since they did not fit.
    """

    n_frames: _Count
    left_out: list[_Count]


class ImportedFile(_Record):
    """A file that was read.

    Attributes:
        name: Its name, without its folder.
        sha256: Of its content.
        trajectory: Which trajectory it is of.
        molecule_id: The molecule; empty where none could be found.
        n_frames: Frames in it, after the stride.
    """

    name: str
    sha256: str
    trajectory: TrajectoryName
    molecule_id: str
    n_frames: _Count


class ImportRecord(_Record):
    """Where imported frames come from.

    Attributes:
        source: Where the data come from.
        licence: Under which they may be used.
        stride: Every how manieth frame was taken.
        temperature: Of the dynamics, K.
        files: The files, in the order in which they were read.
        frames: What there is of each molecule, by name.
    """

    source: str
    licence: str
    stride: Annotated[int, Field(ge=1)]
    temperature: Annotated[float, Field(gt=0.0)]
    files: list[ImportedFile]
    frames: dict[str, dict[TrajectoryName, ImportedTrajectory]]

    @property
    def n_left_out(self) -> int:
        """Frames that were left out, of all molecules."""
        return sum(len(each.left_out) for found in self.frames.values() for each in found.values())

    def frames_of(self, molecule_id: str, split: SplitName) -> set[int]:
        """The frames of a molecule that a split holds."""
        trajectory = SPLIT_TRAJECTORY[split]
        found = self.frames.get(molecule_id, {}).get(trajectory)
        if found is None:
            return set()
        is_ood = split == "test_ood"
        numbers = set(range(found.n_frames)) - set(found.left_out)
        return {frame for frame in numbers if split_of_frame(trajectory, frame, is_ood=is_ood) == split}


def is_imported(metadata: Mapping[str, Any]) -> bool:
    """Whether the metadata of a file say that its frames were imported."""
    return bool(metadata.get("edition") == IMPORTED)


def import_record_of(metadata: Mapping[str, Any]) -> ImportRecord | None:
    """Where the frames of a file come from; `None` where they were not imported, or the metadata do not say it."""
    if not is_imported(metadata):
        return None
    try:
        return ImportRecord.model_validate(metadata.get(IMPORTED))
    except ValidationError:
        return None
