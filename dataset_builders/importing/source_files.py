"""The files of an import: named one by one, all of a folder, or those of a data set on the Hub."""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dataset_builders.core.errors import DataError, UsageError
from dataset_builders.core.hub.access import head_of
from dataset_builders.core.hub.difference import copy_of, files_at
from dataset_builders.core.hub.names import REPO_ID
from dataset_builders.core.hub.repo import MAIN, Repo
from dataset_builders.importing.import_map import ImportMap
from dataset_builders.tasks.editions import TrajectoryName

HUB_PREFIX: Final = "hf://"
_ADDRESS: Final = re.compile(rf"hf://datasets/({REPO_ID})(?:@(refs/\w+/[^/@]+|[^/@]+))?/?", flags=re.ASCII)

_ENDINGS: Final = (".extxyz", ".xyz", ".traj", ".db", ".json")
"""Names of trajectories. In a folder, a file of another name is read only if a pattern matches it."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file to import.

    Attributes:
        path: The file on this machine.
        name: Its name in reports and metadata; for a file of a folder or repo, its path there.
        trajectory: Trajectory of its frames.
    """

    path: Path
    name: str
    trajectory: TrajectoryName


@dataclass(frozen=True, slots=True)
class SourceFiles:
    """All files of an import.

    Attributes:
        files: The files, in the order of reading.
        repos: The commits of the Hub that they were read from, as `org/name@commit`.
        skipped: Names of other files in the folders and repos that were not read.
    """

    files: tuple[SourceFile, ...]
    repos: tuple[str, ...]
    skipped: tuple[str, ...]


def find_source_files(sources: Sequence[str | Path], how: ImportMap) -> SourceFiles:
    """The files that sources stand for, with their trajectories; those of the Hub are downloaded into the cache.

    Args:
        sources: Files, folders, and data sets on the Hub as `hf://datasets/org/name[@revision]`.
        how: Description of the trajectories, with the patterns that select files of folders and repos.

    Raises:
        UsageError: If an address is malformed, patterns do not determine the trajectory of a file, a name is not UTF-8,
            or a file is given twice.
        DataError: If a folder or repo has no file that a pattern matches, or a repo or revision does not exist.
        SetupError: If the Hub cannot be reached or refuses access.
    """
    files: list[SourceFile] = []
    repos: list[str] = []
    skipped: list[str] = []
    # Paths in a folder or repo, since a cache of the Hub stores equal files once and links to them.
    places: list[str] = []
    for source in map(str, sources):
        if source.startswith(HUB_PREFIX):
            repo, commit = _pinned(source)
            repos.append(f"{repo.id}@{commit}")
            chosen = _chosen(list(files_at(repo, commit)), how, f"{repo} at {commit}", skipped)
            files += [SourceFile(copy_of(repo, commit, name), name, each) for name, each in chosen]
            places += [f"{repos[-1]}/{name}" for name, _ in chosen]
        elif Path(source).is_dir():
            chosen = _chosen(list(_walk(Path(source))), how, source, skipped)
            files += [SourceFile(Path(source, name), name, each) for name, each in chosen]
            places += [f"{os.path.realpath(source)}/{name}" for name, _ in chosen]
        else:
            path = Path(source)
            files.append(SourceFile(path, path.name, how.trajectory_of(path.as_posix())))
            # `Path.resolve` fails on a link to itself, which the reader reports.
            places.append(os.path.realpath(path))
    if len(set(places)) < len(places):
        raise UsageError(f"some of the {len(places)} files are given twice; give each file once")
    _require_utf8(files)
    return SourceFiles(tuple(files), tuple(repos), tuple(skipped))


def _pinned(address: str) -> tuple[Repo, str]:
    """The repo of an address, and the commit that its revision points to now."""
    match = _ADDRESS.fullmatch(address)
    if match is None:
        raise UsageError(f"{address!r}; expected hf://datasets/org/name[@revision]")
    repo = Repo(match[1], "dataset")
    return repo, head_of(repo, match[2] or MAIN)


def _walk(folder: Path) -> Iterator[str]:
    """Paths of the files in a folder, relative to it, without hidden files and folders such as `.git`."""
    for directory, names, files in os.walk(folder):
        names[:] = [name for name in names if not name.startswith(".")]
        for name in files:
            yield Path(directory, name).relative_to(folder).as_posix()


def _chosen(names: list[str], how: ImportMap, place: str, skipped: list[str]) -> list[tuple[str, TrajectoryName]]:
    """The files of a folder or repo that are read, each with its trajectory; adds the others to `skipped`."""
    chosen: list[tuple[str, TrajectoryName]] = []
    for name in sorted(names):
        if any(part.startswith(".") for part in name.split("/")):
            continue
        if how.is_ignored(name) or not (how.matches(name) or _is_named_as_trajectory(name)):
            skipped.append(name)
        else:
            chosen.append((name, how.trajectory_of(name)))
    if not chosen:
        raise DataError(
            f"{place} has no trajectory that the map describes: {len(names):,} files"
            + (f", such as {', '.join(sorted(names)[:3])}" if names else "")
            + f"; expected files that match primary {list(how.patterns['primary'])} or secondary "
            f"{list(how.patterns['secondary'])}{how.naming_hint}"
        )
    return chosen


def _is_named_as_trajectory(name: str) -> bool:
    return name.lower().removesuffix(".gz").endswith(_ENDINGS)


def _require_utf8(files: Sequence[SourceFile]) -> None:
    for file in files:
        try:
            str(file.path).encode()
        except UnicodeEncodeError as cause:
            raise UsageError(f"the name {str(file.path)!r} is not UTF-8, which the metadata need; rename it") from cause
