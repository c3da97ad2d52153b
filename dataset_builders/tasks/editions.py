"""Editions: the number of frames of each molecule in each split, and the bursts they come from.

A burst is a short stretch of molecular dynamics that yields `FRAMES_PER_BURST` correlated frames and
is never split over two splits. Bursts are numbered and every edition takes the first ones, so that
editions nest: no frame that tests in one edition trains in another.
"""

from dataclasses import dataclass, replace
from typing import Final, Literal, get_args

from dataset_builders.core.errors import UsageError
from dataset_builders.core.shown import quoted

SplitName = Literal["train", "validation", "test_id", "test_ood"]
TrajectoryName = Literal["primary", "secondary"]

SPLITS: Final[tuple[SplitName, ...]] = get_args(SplitName)
TRAJECTORIES: Final[tuple[TrajectoryName, ...]] = get_args(TrajectoryName)

FRAMES_PER_BURST: Final = 5
MAX_FRAMES: Final = 1_000_000
"""Most frames of a molecule in a trajectory. It bounds the work, since editions and records may be untrusted."""

VALIDATION_EVERY: Final = 5
"""Secondary burst i is validation where i is a multiple of this, and test_id elsewhere."""

_SPREAD: Final = (0, 4, 2, 1, 3)
"""Order in which a subset of the frames of a burst is taken: the least correlated ones first."""

SPLIT_TRAJECTORY: Final[dict[SplitName, TrajectoryName]] = {
    "train": "primary",
    "validation": "secondary",
    "test_id": "secondary",
    "test_ood": "primary",
}


@dataclass(frozen=True, slots=True)
class Edition:
    """Frames per molecule in each split; each a multiple of `FRAMES_PER_BURST`.

    Attributes:
        name: Name of the edition.
        train: Primary frames of a training molecule.
        test_ood: Primary frames of an OOD molecule.
        validation: Secondary frames of a training molecule used for tuning.
        test_id: Secondary frames of a training molecule used for testing.
    """

    name: str
    train: int
    test_ood: int
    validation: int
    test_id: int

    def frames(self, split: SplitName, count: int | None = None) -> tuple[int, ...]:
        """Indices of the frames of one molecule in the split, ascending.

        Args:
            split: The split.
            count: Number of frames; all if it is `None` or larger than their number. They are spread over the bursts,
                and a larger count includes the frames of a smaller one.
        """
        spread = [burst * FRAMES_PER_BURST + index for index in _SPREAD for burst in self.bursts(split)]
        return tuple(sorted(spread[:count]))

    def bursts(self, split: SplitName) -> tuple[int, ...]:
        """Indices of the bursts of one molecule in the split, ascending."""
        count = int(getattr(self, split)) // FRAMES_PER_BURST
        if split in ("train", "test_ood"):
            return tuple(range(count))
        if split == "validation":
            return tuple(VALIDATION_EVERY * i for i in range(count))
        per_cycle = VALIDATION_EVERY - 1
        return tuple(VALIDATION_EVERY * (i // per_cycle) + 1 + i % per_cycle for i in range(count))


EDITIONS: Final[dict[str, Edition]] = {
    edition.name: edition
    for edition in (
        Edition("mini", train=25, test_ood=10, validation=5, test_id=10),
        Edition("standard", train=400, test_ood=100, validation=20, test_id=80),
        Edition("full", train=2000, test_ood=2000, validation=100, test_id=400),
    )
}


DEMONSTRATION: Final = "mini"
"""The edition for demonstrations and tests."""
RANKING: Final = "standard"
"""The smallest edition whose results rank models."""
UNKNOWN_EDITION: Final = "unknown"
"""Stands for an edition that neither files nor results state."""


def edition_note(name: str) -> str | None:
    """For an edition that is too small to rank models, a sentence that says so; else `None`.

    An OOD molecule is as well sampled as it has bursts, since each burst starts from a conformer of its own. Nothing is
    said of imported data, whose trajectories are their own.

    Args:
        name: Name of the edition, as in the files of a data set and in results.
    """
    edition, needed = _edition_or_none(name), len(EDITIONS[RANKING].bursts("test_ood"))
    if edition is None or (n_bursts := len(edition.bursts("test_ood"))) >= needed:
        return None
    use = "is the demonstration and test edition" if name == DEMONSTRATION else "is an own build"
    conformers = f"{n_bursts} conformer{'s' if n_bursts > 1 else ''} of an OOD molecule"
    return f"{name} {use} ({conformers}); {RANKING} ({needed}) ranks models"


def edition_order(name: str) -> tuple[int, int, str]:
    """Sort key of editions, the one that ranks best last: unknown, mini, others, standard, full.

    Args:
        name: Name of the edition. Own builds are ordered by their frames of an OOD molecule.
    """
    named = (UNKNOWN_EDITION, DEMONSTRATION, "", RANKING, "full")
    edition = _edition_or_none(name)
    return named.index(name if name in named else ""), 0 if edition is None else edition.test_ood, name


def _edition_or_none(name: str) -> Edition | None:
    try:
        return find_edition(name)
    except UsageError:
        return None


def find_edition(text: str) -> Edition:
    """Returns a named edition, or one with custom sizes written as TRAIN/OOD/VALIDATION/TEST_ID.

    Equal sizes are one edition with one name: sizes of a named edition give that edition, and zeros in front are
    dropped.

    Raises:
        UsageError: If the name is unknown or a size is not a positive multiple of `FRAMES_PER_BURST`.
    """
    if text in EDITIONS:
        return EDITIONS[text]
    sizes = text.split("/")
    if len(sizes) == 4 and all(size.isascii() and size.isdigit() for size in sizes):
        numbers = [int(size.lstrip("0")[: len(str(MAX_FRAMES)) + 1] or "0") for size in sizes]
        if max(numbers) > MAX_FRAMES:
            raise UsageError(f"edition {quoted(text)}: expected at most {MAX_FRAMES:,} frames of a molecule in a split")
        if any(size < 1 or size % FRAMES_PER_BURST for size in numbers):
            raise UsageError(
                f"edition {quoted(text)}: every number of frames must be a positive multiple of {FRAMES_PER_BURST}, "
                "the frames of one burst"
            )
        own = Edition("/".join(map(str, numbers)), *numbers)
        return next((each for each in EDITIONS.values() if replace(each, name=own.name) == own), own)
    raise UsageError(
        f"unknown edition {quoted(text)}; known editions: {' '.join(EDITIONS)}, "
        "or four numbers of frames per molecule as TRAIN/OOD/VALIDATION/TEST_ID, such as 100/10/5/10"
    )


def split_of_frame(
    trajectory: TrajectoryName, frame: int, *, is_ood: bool, n_validation: int | None = None
) -> SplitName:
    """The split that a frame of a molecule belongs to within a task.

    Args:
        trajectory: Its trajectory.
        frame: Its index in the trajectory.
        is_ood: Whether the molecule is an OOD molecule of the task.
        n_validation: If given, the first `n_validation` secondary frames are validation and the others test_id, as in
            some imported data; by default every fifth burst is validation.

    Raises:
        UsageError: For a secondary frame of an OOD molecule, which is in no split.
    """
    if trajectory == "primary":
        return "test_ood" if is_ood else "train"
    if is_ood:
        raise UsageError(f"secondary frame {frame} of an OOD molecule is in no split; expected a primary frame")
    if n_validation is not None:
        return "validation" if frame < n_validation else "test_id"
    return "validation" if (frame // FRAMES_PER_BURST) % VALIDATION_EVERY == 0 else "test_id"
