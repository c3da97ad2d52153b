"""Finds a data set, pins it by a hash of its content, and opens its files.

A data set is a folder `DIR/<config>/<split>-*.parquet` with the configs `task1` to `task4`, or of tasks that
its files declare, and the splits `train`, `validation`, `test_id` and `test_ood`, as written by
`python -m dataset_builders build` and stored on the Hub. The same frames at another level of theory are
separate configs, such as `task2-wb97x`; the configs of one level are pinned together, and those of other
levels are ignored.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from dataset_builders.chemistry.levels import GFN2, LEVELS, Level
from dataset_builders.core.arrow_arrays import UNREADABLE
from dataset_builders.core.errors import DataError, UsageError
from dataset_builders.core.given_text import require_text
from dataset_builders.core.hashes import file_sha256
from dataset_builders.core.hub.explaining import first_line
from dataset_builders.core.hub.names import REPO_ID
from dataset_builders.core.shown import quoted
from dataset_builders.folder.content_hash import hash_of_hashes
from dataset_builders.folder.mini import MINI_DIRECTORY
from dataset_builders.folder.schema import read_metadata, schema_problems
from dataset_builders.folder.split_files import in_part_order, parts_problem, stated_level
from dataset_builders.folder.task_folders import task_in, task_names
from dataset_builders.tasks.editions import SPLITS, SplitName
from dataset_builders.tasks.regions import TASKS, Task, TaskName, in_order
from harness.data.exportable import Exportable
from harness.hub.cached_file import discard_damaged, stated_sha256
from harness.hub.hub_folder import PREFIX, HubFile, HubFolder, open_hub_folder

Folder: TypeAlias = Path | HubFolder
DataFile: TypeAlias = Path | HubFile

MINI: Final = "mini"
UNKNOWN: Final = "unknown"
"""Value for an edition or level of theory that the files do not state."""

_DOWNLOAD_AGAIN: Final = "it was removed from the cache: run the same command again, which downloads it again"
_HUB_ID: Final = re.compile(rf"(?P<repo>{REPO_ID})(?:@(?P<revision>\S+))?", flags=re.ASCII)


@dataclass(frozen=True, slots=True)
class PinnedDataset(Exportable):
    """A data set at one level of theory, pinned by a hash of its content; `to_ase` and its kin give its frames.

    Attributes:
        id: The data set as the user named it: `mini`, a folder, or a Hub id without its revision.
        directory: Folder of the files, local or on the Hub.
        revision: Commit on the Hub; `None` for a local folder.
        content_hash: sha256 over the relative path and sha256 of every Parquet file of its configs.
        edition: Name of the edition stated in the files.
        level_of_theory: Level of theory of the labels, such as `GFN2-xTB`.
        level: Level that selects the configs: its suffix follows the name of the task.
        left_out: Splits that, according to the files, have no frames at this level, and so no file.
    """

    id: str
    directory: Folder
    revision: str | None
    content_hash: str
    edition: str
    level_of_theory: str
    level: Level = GFN2
    left_out: frozenset[tuple[TaskName, SplitName]] = frozenset()

    @property
    def tasks(self) -> tuple[TaskName, ...]:
        """The tasks that the data set contains at its level."""
        return task_names(self.directory, self.level)

    def task(self, name: TaskName) -> Task:
        """One of its tasks.

        Raises:
            DataError: If it is not one of the four, and the data set does not declare it.
        """
        return task_in(self.directory, name, self.level, _schema_of)

    def named_tasks(self, names: Sequence[str]) -> tuple[TaskName, ...]:
        """As the function `named_tasks`, for this data set."""
        return named_tasks((self,), names)


@dataclass(frozen=True, slots=True)
class Provenance:
    """Provenance stated in the metadata of a file.

    Attributes:
        edition: Name of the edition; `UNKNOWN` if the file does not state it.
        level_of_theory: Level of theory of its labels, likewise.
        left_out: Splits of its config that have no frames at this level.
    """

    edition: str
    level_of_theory: str
    left_out: frozenset[SplitName] = frozenset()


@dataclass(frozen=True, slots=True)
class _Place:
    """Location of a data set; the fields are those of `PinnedDataset`."""

    id: str
    directory: Folder
    revision: str | None


def named_tasks(datasets: Sequence[PinnedDataset], names: Sequence[str]) -> tuple[TaskName, ...]:
    """The tasks that a user named, in order; does not check that a data set contains them.

    Raises:
        UsageError: If a name is neither one of the four nor a task declared by a data set.
    """
    known = in_order([*TASKS, *(task for dataset in datasets for task in dataset.tasks)])
    for name in names:
        if name not in known:
            raise UsageError(f"unknown task {name!r}; known tasks: {' '.join(known)}")
    return in_order(names)


def levels_agree(of_model: str | None, of_labels: str) -> bool | None:
    """Whether model and labels have the same level of theory; `None` if one is unknown."""
    return None if of_model is None or UNKNOWN in (of_model, of_labels) else of_model == of_labels


def open_dataset(text: str, level: Level = GFN2) -> PinnedDataset:
    """Finds a data set and pins its content at one level of theory.

    From the Hub all tasks of the level are downloaded, whichever are requested, so that the content hash
    identifies the data set and not the request.

    Args:
        text: `mini` (the edition installed with the harness), a folder, a Hub id `org/name[@revision]`
            to download, or `hf://datasets/org/name[@revision]` to read remotely.
        level: Level of theory of the labels.

    Raises:
        UsageError: If the text is none of these.
        DataError: If the folder or repo is absent, has no task at the level, or its files disagree or are corrupt.
        SetupError: If the Hub cannot be reached or refuses access.
    """
    return _pin(_find(text, level), level)


def open_levels(text: str) -> tuple[PinnedDataset, ...]:
    """Finds a data set and pins its content separately at every level of theory that it contains.

    Args:
        text: As for `open_dataset`.

    Returns:
        One or more, in the order of `LEVELS`.

    Raises:
        MlipOodError: As `open_dataset` does.
    """
    place = _find(text, None)
    return tuple(_pin(place, level) for level in _levels_in(place.directory) or (GFN2,))


def _patterns(level: Level | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Glob patterns of the files of a data set at a level, or at any, and of matching files to exclude."""
    configs = f"*-{level.suffix}" if level is not None and level.suffix else "*"
    return tuple(f"{configs}/{split}-*.parquet" for split in SPLITS), ("*-*/*",) if level == GFN2 else ()


def _find(text: str, level: Level | None) -> _Place:
    """Finds a data set; if it is on the Hub, downloads the files of a level, or of all levels."""
    require_text("the data set", text)
    if text == MINI:
        return _Place(MINI, MINI_DIRECTORY, None)
    if text.startswith(PREFIX):
        folder = open_hub_folder(text)
        return _Place(folder.repo.id, folder, folder.commit)
    path = _path_of(text)
    if path.is_dir():
        require_text("the data-set folder", str(path.resolve()))
        return _Place(text, path.resolve(), None)
    hub_id = _HUB_ID.fullmatch(text)
    if hub_id and not text.startswith("."):
        from harness.hub.download import fetch_snapshot

        wanted, unwanted = _patterns(level)
        found = fetch_snapshot(hub_id["repo"], hub_id["revision"], ["README.md", *wanted], unwanted)
        return _Place(found.repo_id, found.directory, found.commit)
    if path.exists():
        raise UsageError(f"data set {text!r} is a file; expected the folder that contains task1, task2, ...")
    raise DataError(
        f"there is no data-set folder {text!r}; expected `{MINI}`, an existing folder, or a Hub id org/name[@revision]"
    )


def _path_of(text: str) -> Path:
    """The path that a text names, which can be looked for."""
    path = Path(text)
    try:
        path.exists()
    except OSError as cause:
        raise UsageError(
            f"cannot look for the data set {quoted(text)}: {cause.strerror}; give `{MINI}`, the path of a folder, or a "
            "Hub id"
        ) from cause
    return path


def split_files(directory: Folder, task: TaskName, split: SplitName, level: Level = GFN2) -> list[DataFile]:
    """The Parquet files of a split, in order.

    Raises:
        DataError: If the task or the split is absent at the level, or a file of the split is missing.
    """
    config = level.config(task)
    if not (directory / config).is_dir():
        present = " ".join(level.config(name) for name in task_names(directory, level)) or "none"
        raise DataError(f"{directory} has no {config}; its tasks: {present}")
    files: list[DataFile] = list((directory / config).glob(f"{split}-*.parquet"))
    if not files:
        raise DataError(
            f"{directory / config} has no file {split}-*.parquet; expected the splits {' '.join(SPLITS)}. "
            "Download or build the data set again"
        )
    problem = parts_problem([file.name for file in files], split)
    if problem is not None:
        raise DataError(
            f"{split} of {config} in {directory} is incomplete: {problem}; download or build the data set again"
        )
    by_name = {file.name: file for file in files}
    return [by_name[name] for name in in_part_order(list(by_name))]


def open_parquet(path: DataFile) -> pq.ParquetFile:
    """Opens a file and checks that it has the schema of a split.

    Raises:
        DataError: If it cannot be read as Parquet, or its columns differ from the documented ones.
        SetupError: If it is on the Hub, which cannot be reached.
    """
    source = path.open() if isinstance(path, HubFile) else path
    try:
        # Without pre_buffer, which keeps everything read from a file in memory until the file is closed.
        file = pq.ParquetFile(source, page_checksum_verification=True, pre_buffer=False)
    except UNREADABLE as cause:
        raise corrupt_file(path, cause) from cause
    problems = schema_problems(file.schema_arrow)
    if problems:
        file.close()
        raise DataError(f"{path}: {'; '.join(problems)}. Write the file in the schema of the data set's README")
    return file


def corrupt_file(path: DataFile, cause: Exception) -> DataError:
    """The error for a file that Parquet cannot read; a copy that was damaged on its way from the Hub is removed."""
    is_gone = isinstance(path, Path) and discard_damaged(path)
    remedy = _DOWNLOAD_AGAIN if is_gone else remedy_for(path)
    return DataError(f"{path} cannot be read as Parquet ({first_line(cause)}); {remedy}")


def remedy_for(path: DataFile) -> str:
    """Remedy for a damaged file, for messages."""
    if isinstance(path, HubFile):
        return f"read it again; if that does not help, tell the owner of {path.folder.repo}, or use another revision"
    return "delete it, then download or build it again"


def _schema_of(path: DataFile) -> pa.Schema:
    with open_parquet(path) as file:
        return file.schema_arrow


def _levels_in(directory: Folder) -> tuple[Level, ...]:
    return tuple(level for level in LEVELS.values() if task_names(directory, level))


def _pin(place: _Place, level: Level) -> PinnedDataset:
    directory = place.directory
    tasks = task_names(directory, level)
    if not tasks:
        raise _nothing_at(directory, level)
    files: dict[DataFile, Provenance] = {}
    left_out: set[tuple[TaskName, SplitName]] = set()
    for task in tasks:
        task_in(directory, task, level, _schema_of)  # reject an invalid task before anything is computed
        of_config = _config_files(directory, task, level)
        files |= of_config
        left_out |= {(task, split) for each in of_config.values() for split in each.left_out}
    return PinnedDataset(
        id=place.id,
        directory=directory,
        revision=place.revision,
        content_hash=content_hash(directory, list(files)),
        edition=_agreed("edition", {path: each.edition for path, each in files.items()}),
        level_of_theory=_level_of_theory(files, level),
        level=level,
        left_out=frozenset(left_out),
    )


def _config_files(directory: Folder, task: TaskName, level: Level) -> dict[DataFile, Provenance]:
    """The files of a config; a split may be absent if its other files state that it was left out on purpose.

    Raises:
        DataError: If another split is absent, or the files disagree on the splits that are left out.
    """
    folder = directory / level.config(task)
    files: dict[DataFile, Provenance] = {}
    absent: list[SplitName] = []
    for split in SPLITS:
        if any(folder.glob(f"{split}-*.parquet")):
            files |= {path: provenance_of(path) for path in split_files(directory, task, split, level)}
        else:
            absent.append(split)
    stated = {path: " ".join(sorted(each.left_out)) or "none" for path, each in files.items()}
    left_out = _agreed("splits that are left out", stated).split() if stated else []
    for split in absent:
        if split not in left_out:
            split_files(directory, task, split, level)  # raises the error that names what is missing
    return files


def _level_of_theory(files: Mapping[DataFile, Provenance], level: Level) -> str:
    """The level of theory of the labels, which must match the name of the config."""
    found = _agreed("level of theory", {path: each.level_of_theory for path, each in files.items()})
    if level.suffix and found != level.method:
        raise DataError(
            f"{next(iter(files))} states that its labels are {found}; expected {level.method}, according to "
            f"-{level.suffix} in the name of its folder. Build the data set again"
        )
    return found


def _nothing_at(directory: Folder, level: Level) -> DataError:
    held = [each.name for each in _levels_in(directory)]
    if held:
        return DataError(
            f"{directory} has no labels of {level.name} ({level.method}); its levels: {' '.join(held)}. Use "
            f"--labels {held[0]}, or make them with `python -m dataset_builders relabel`"
        )
    return DataError(
        f"{directory} is not a data-set folder: it contains none of {' '.join(TASKS)}, and no declared task; "
        "build one with `python -m dataset_builders build`"
    )


def content_hash(directory: Folder, files: Sequence[DataFile]) -> str:
    """sha256 over the path relative to the folder and the sha256 of each file, in the order of the paths.

    Raises:
        DataError: If a file in the cache of the Hub's client is not what the Hub states; it is removed there.
    """
    hashes = {}
    for path in files:
        if isinstance(path, HubFile):
            hashes[path.path] = path.sha256()
            continue
        found, stated = file_sha256(path), stated_sha256(path)
        if stated is not None and found != stated and discard_damaged(path):
            raise DataError(f"{path} has the sha256 {found}, but the Hub states {stated}; {_DOWNLOAD_AGAIN}")
        hashes[path.relative_to(str(directory)).as_posix()] = found
    return hash_of_hashes(hashes)


def provenance_of(path: DataFile) -> Provenance:
    """Provenance from the metadata of a file.

    Raises:
        DataError: If the file is corrupt or breaks the schema.
    """
    with open_parquet(path) as file:
        try:
            metadata = read_metadata(file.schema_arrow)
        except ValueError as cause:
            raise corrupt_file(path, cause) from cause
    frames = metadata.get("subset")
    return Provenance(
        edition=str(metadata.get("edition", UNKNOWN)),
        level_of_theory=stated_level(metadata) or UNKNOWN,
        left_out=frozenset(split for split in SPLITS if isinstance(frames, dict) and frames.get(split) == 0),
    )


def _agreed(what: str, stated: Mapping[DataFile, str]) -> str:
    """The value that all files state."""
    counts = Counter(stated.values())
    common = counts.most_common(1)[0][0]
    odd = next((path for path, value in stated.items() if value != common), None)
    if odd is not None:
        raise DataError(
            f"the files of the data set disagree on the {what}: {odd} states {stated[odd]!r}, others state "
            f"{common!r}; build the whole data set with one command"
        )
    return common
