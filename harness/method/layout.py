"""The folders of the models of a method: `task1/` to `task4/`, or `seed0/`, `seed1/`, ... inside these."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Final

from dataset_builders.core.errors import ModelError, UsageError
from dataset_builders.tasks.regions import TaskName, in_order
from harness.core.family import Family
from harness.core.seed_folders import looks_like_seed, looks_like_task, place_of, seed_of

_MAX_LISTED: Final = 10


@dataclass(frozen=True, slots=True)
class Folder:
    """The content of a folder, without hidden files and folders.

    Attributes:
        folders: Names of its subfolders, sorted.
        files: Names of its files, sorted.
    """

    folders: tuple[str, ...]
    files: tuple[str, ...]


Look = Callable[[str], Folder]
"""Lists a folder of a method by its relative path; the empty path is the method itself."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """The folder of one model.

    Attributes:
        task: Task from its name.
        seed: Seed from its name, if there are seeds.
    """

    task: TaskName
    seed: int | None

    @property
    def path(self) -> str:
        """Path in the method."""
        return place_of(self.task, self.seed)


@dataclass(frozen=True, slots=True)
class Layout:
    """The folders of a method.

    Attributes:
        leaves: Folders of its models, by task and seed.
        left_out: Folders that do not belong to the method.
    """

    leaves: tuple[Leaf, ...]
    left_out: tuple[str, ...] = ()


def find_layout(place: str, look: Look, known: Collection[TaskName], families: Sequence[Family]) -> Layout:
    """Finds the folders of the models of a method.

    Args:
        place: The method as given by the user.
        look: Lists its folders.
        known: Names of all tasks.
        families: All families, to detect misplaced checkpoints.

    Raises:
        UsageError: If no folder is named after a task, a name is almost that of a task or a seed, or the folder of
            a task contains both seeds and a checkpoint.
    """
    top = look("")
    wrong = [name for name in top.folders if name not in known and looks_like_task(name)]
    if wrong:
        raise UsageError(
            f"{place} contains the folder {wrong[0]!r}, whose name is not a task; expected names among "
            f"{' '.join(in_order(known))}. Rename it, or move it out of the method"
        )
    tasks = in_order(name for name in top.folders if name in known)
    if not tasks:
        raise UsageError(
            f"{place} is not a method: it contains no task folder ({' '.join(in_order(known))}); its folders: "
            f"{_listed(top.folders)}. Evaluate a single checkpoint with --model"
        )
    left_out = [name for name in top.folders if name not in known]
    leaves: list[Leaf] = []
    for task in tasks:
        inside = look(task)
        found = _leaves_of(f"{place}/{task}", task, inside, families)
        leaves += found
        if found[0].seed is not None:
            left_out += [f"{task}/{name}" for name in inside.folders if seed_of(name) is None]
    return Layout(tuple(leaves), tuple(left_out))


def look_here(root: Path) -> Look:
    """Lists a local folder; links to folders count as folders."""

    def look(path: str) -> Folder:
        folder = root / path
        try:
            entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
        except OSError as cause:
            raise ModelError(f"cannot read the folder {folder}: {cause.strerror or cause}") from cause
        broken = [entry for entry in entries if entry.is_symlink() and not entry.exists()]
        if broken:
            raise ModelError(f"{broken[0]} is a broken link; repair or remove it")
        return Folder(
            tuple(entry.name for entry in entries if entry.is_dir()),
            tuple(entry.name for entry in entries if entry.is_file()),
        )

    return look


def look_among(names: Collection[str], below: str = "") -> Look:
    """Lists a folder of a repo from the paths of its files."""
    start = PurePosixPath(below)

    def look(path: str) -> Folder:
        place = start / path
        inside = [PurePosixPath(name).relative_to(place).parts for name in names if _is_below(name, place)]
        shown = [parts for parts in inside if not parts[0].startswith(".")]
        return Folder(
            tuple(sorted({parts[0] for parts in shown if len(parts) > 1})),
            tuple(sorted(parts[0] for parts in shown if len(parts) == 1)),
        )

    return look


def _is_below(name: str, place: PurePosixPath) -> bool:
    return PurePosixPath(name).is_relative_to(place)


def _leaves_of(place: str, task: TaskName, inside: Folder, families: Sequence[Family]) -> list[Leaf]:
    wrong = [name for name in inside.folders if seed_of(name) is None and looks_like_seed(name)]
    if wrong:
        raise UsageError(
            f"{place} contains the folder {wrong[0]!r}, whose name is not a seed; expected seed0, seed1, ... Rename "
            "it, or move it out of the method"
        )
    seeds = sorted(seed for name in inside.folders if (seed := seed_of(name)) is not None)
    if not seeds:
        if not inside.files and not inside.folders:
            raise UsageError(
                f"{place} is empty; expected a checkpoint, or folders seed0, seed1, ... with one checkpoint each"
            )
        return [Leaf(task, None)]
    beside = _checkpoint_among(inside.files, families)
    if beside is not None:
        raise UsageError(
            f"{place} contains both the checkpoint {beside} and the folder seed{seeds[0]}; expected only one of them. "
            "Move the other out of the method"
        )
    return [Leaf(task, seed) for seed in seeds]


def _checkpoint_among(files: Sequence[str], families: Sequence[Family]) -> str | None:
    """A file that is a checkpoint, or the first of several files that form one."""
    for family in families:
        for name in files:
            if any(fnmatchcase(name, pattern) for pattern in family.files):
                return name
        of_folder = [[name for name in files if fnmatchcase(name, pattern)] for pattern in family.folder]
        if of_folder and all(of_folder):
            return of_folder[0][0]
    return None


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _MAX_LISTED
    return (", ".join(names[:_MAX_LISTED]) or "none") + (f" and {more} more" if more > 0 else "")
