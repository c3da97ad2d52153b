"""The data set: found, pinned by a hash of its content, and read into flat arrays.

A data set is a folder `DIR/<config>/<split>-*.parquet` with the configs `task1` to `task4`, or of tasks that
its files declare, and the splits `train`, `validation`, `test_id` and `test_ood`: what
`python -m dataset_builders build` writes and what the Hub holds.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from dataset_builders.cli import MINI_DIRECTORY
from dataset_builders.editions import SPLITS, SplitName
from dataset_builders.errors import DataError, UsageError
from dataset_builders.hub import first_line
from dataset_builders.schema import read_metadata, schema_problems
from dataset_builders.task_folders import task_in, task_names
from dataset_builders.tasks import TASKS, Task, TaskName, in_order

MINI: Final = "mini"
UNKNOWN: Final = "unknown"
"""Edition or level of theory that the files do not name."""

DATA_FILES: Final = tuple(f"*/{split}-*.parquet" for split in SPLITS)
"""Glob patterns of the files that are the data set, which its content hash is over; but not of `OTHER_LEVELS`."""

OTHER_LEVELS: Final = ("*-*/*",)
"""Glob patterns of the files of configs whose labels are of another level than those of `task1`."""

_HUB_ID: Final = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)(?:@(?P<revision>\S+))?")
_PART: Final = re.compile(r"-(\d+)-of-(\d+)\.parquet$")


@dataclass(frozen=True, slots=True)
class PinnedDataset:
    """A data set whose content is known.

    Attributes:
        id: What the user asked for: `mini`, a folder, or a Hub id without its revision.
        directory: Folder of the files.
        revision: Commit on the Hub; `None` for a local folder.
        content_hash: sha256 over the relative path and sha256 of every Parquet file of its configs.
        edition: Name of the edition that the files say they are.
        level_of_theory: Level of the labels, such as `GFN2-xTB`.
    """

    id: str
    directory: Path
    revision: str | None
    content_hash: str
    edition: str
    level_of_theory: str

    @property
    def tasks(self) -> tuple[TaskName, ...]:
        """The tasks that the data set holds."""
        return task_names(self.directory)

    def task(self, name: TaskName) -> Task:
        """One of its tasks.

        Raises:
            DataError: If it is none of the four, and the data set does not declare it.
        """
        return task_in(self.directory, name)

    def named_tasks(self, names: Sequence[str]) -> tuple[TaskName, ...]:
        """The tasks that a user named, in order; whether the data set holds one of the four is not asked here.

        Raises:
            UsageError: If a name is neither one of the four nor that of a task of the data set.
        """
        known = in_order([*TASKS, *self.tasks])
        for name in names:
            if name not in known:
                raise UsageError(f"unknown task {name!r}; known tasks: {' '.join(known)}")
        return in_order(names)


def open_dataset(text: str) -> PinnedDataset:
    """Finds a data set and pins its content.

    From the Hub all tasks are fetched whichever tasks are asked for, so that the content hash
    names the data set and not the request.

    Args:
        text: `mini` (the edition that is installed with the harness), a folder, or a Hub id
            `org/name[@revision]`.

    Raises:
        UsageError: If the text is none of these.
        DataError: If the folder or repo is absent, holds no task, or its files disagree or are corrupt.
        SetupError: If the Hub cannot be reached or refuses access.
    """
    if text == MINI:
        return _pin(MINI, MINI_DIRECTORY, None)
    if Path(text).is_dir():
        return _pin(text, Path(text).resolve(), None)
    hub_id = _HUB_ID.fullmatch(text)
    if hub_id and not text.startswith("."):
        from harness.hub import fetch_snapshot

        directory, commit = fetch_snapshot(hub_id["repo"], hub_id["revision"], ["README.md", *DATA_FILES], OTHER_LEVELS)
        return _pin(hub_id["repo"], directory, commit)
    if Path(text).exists():
        raise UsageError(f"data set {text!r} is a file; expected the folder that holds task1, task2, ...")
    raise DataError(
        f"there is no data-set folder {text!r}; expected `{MINI}`, an existing folder, or a Hub id org/name[@revision]"
    )


def split_files(directory: Path, task: TaskName, split: SplitName) -> list[Path]:
    """The Parquet files of a split, in order.

    Raises:
        DataError: If the task or the split is absent, or a file of the split is missing.
    """
    if not (directory / task).is_dir():
        present = " ".join(task_names(directory)) or "none"
        raise DataError(f"{directory} holds no {task}; tasks it holds: {present}")
    files = sorted((directory / task).glob(f"{split}-*.parquet"))
    if not files:
        raise DataError(
            f"{directory / task} holds no file {split}-*.parquet; splits expected: {' '.join(SPLITS)}. "
            "Download or build the data set again"
        )
    part = _PART.search(files[0].name)
    if part and len(files) != int(part[2]):
        raise DataError(
            f"{split} of {task} in {directory} is incomplete: {len(files)} files are there and their names say "
            f"{int(part[2])}; download or build the data set again"
        )
    return files


def open_parquet(path: Path) -> pq.ParquetFile:
    """Opens a file and checks that its schema is that of a split.

    Raises:
        DataError: If it cannot be read as Parquet, or its columns differ from the documented ones.
    """
    try:
        # Without pre_buffer, which keeps all that was read of a file in memory until the file is closed.
        file = pq.ParquetFile(path, page_checksum_verification=True, pre_buffer=False)
    except (OSError, pa.ArrowException) as cause:
        raise corrupt_file(path, cause) from cause
    problems = schema_problems(file.schema_arrow)
    if problems:
        file.close()
        raise DataError(f"{path}: {'; '.join(problems)}. Write the file in the schema of the data set's README")
    return file


def corrupt_file(path: Path, cause: Exception) -> DataError:
    """The error for a file that Parquet cannot read."""
    return DataError(
        f"{path} cannot be read as Parquet ({first_line(cause)}); delete it, then download or build it again"
    )


def _pin(name: str, directory: Path, revision: str | None) -> PinnedDataset:
    tasks = task_names(directory)
    if not tasks:
        raise DataError(
            f"{directory} is not a data-set folder: it holds none of {' '.join(TASKS)}, and no task of its own; "
            "build one with `python -m dataset_builders build`"
        )
    for task in tasks:
        task_in(directory, task)  # a folder that declares no task is refused before anything is computed
    files = [path for task in tasks for split in SPLITS for path in split_files(directory, task, split)]
    provenance = [provenance_of(path) for path in files]
    return PinnedDataset(
        id=name,
        directory=directory,
        revision=revision,
        content_hash=content_hash(directory, files),
        edition=_agreed("edition", [edition for edition, _ in provenance], files),
        level_of_theory=_agreed("level of theory", [level for _, level in provenance], files),
    )


def content_hash(directory: Path, files: Sequence[Path]) -> str:
    """sha256 over the path relative to the folder and the sha256 of each file, in the order of the paths."""
    hashes = {}
    for path in files:
        with path.open("rb") as stream:
            hashes[path.relative_to(directory).as_posix()] = hashlib.file_digest(stream, "sha256").hexdigest()
    return hash_of_hashes(hashes)


def hash_of_hashes(hashes: Mapping[str, str]) -> str:
    """The content hash of files whose own sha256 are known, by path in the data set."""
    digest = hashlib.sha256()
    for path, file_hash in sorted(hashes.items()):
        digest.update(f"{path}\n{file_hash}\n".encode())
    return digest.hexdigest()


def provenance_of(path: Path) -> tuple[str, str]:
    """Edition and level of theory in the metadata of a file, each `UNKNOWN` where it is not named.

    Raises:
        DataError: If the file is corrupt or breaks the schema.
    """
    with open_parquet(path) as file:
        try:
            metadata = read_metadata(file.schema_arrow)
        except ValueError as cause:
            raise corrupt_file(path, cause) from cause
    level: dict[str, str] = metadata.get("level_of_theory", {})
    method = [level[key] for key in ("method", "basis") if level.get(key)]
    return str(metadata.get("edition", UNKNOWN)), "/".join(method) or UNKNOWN


def _agreed(what: str, values: Sequence[str], files: Sequence[Path]) -> str:
    counts = Counter(values)
    if len(counts) > 1:
        common = counts.most_common(1)[0][0]
        odd = next(index for index, value in enumerate(values) if value != common)
        raise DataError(
            f"the files of the data set disagree on the {what}: {files[odd]} says {values[odd]!r}, others say "
            f"{common!r}; build the whole data set with one command"
        )
    return values[0]
