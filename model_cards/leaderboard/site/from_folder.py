"""Entries from a folder of results: every `result.json`, `method.json`, `entry.json` and `runs.jsonl` below it."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from dataset_builders.core.errors import DataError, MlipOodError
from dataset_builders.core.hashes import bytes_sha256
from dataset_builders.core.hub.names import REPO_ID
from harness.method.document import METHOD_NAME, MethodResult
from harness.results.result import RESULT_NAME, RunResult
from harness.study.run_record import RECORDS_NAME
from harness.submission.entry_document import ENTRY_NAME, parse_entry
from model_cards.leaderboard.site.from_records import entries_of_records
from model_cards.leaderboard.site.from_results import as_one, entry_of_result, hub_page, joined
from model_cards.leaderboard.site.site_entry import Entry, Gathered, LeftOut, Origin, https_address, one_line

MAX_BYTES: Final = 64 * 2**20
"""Largest file that is read."""
MAX_FILES: Final = 20_000
"""Limit on files of results below a folder; the leaderboard of a repo of results has some hundreds."""
_NAMES: Final = (METHOD_NAME, RESULT_NAME, RECORDS_NAME)
_PINNED: Final = re.compile(rf"(?P<repo>{REPO_ID})@(?P<revision>[0-9a-f]{{40}})", re.ASCII)


@dataclass(slots=True)
class _Found:
    """What was read so far.

    Attributes:
        entries: Entries.
        left_out: Faults.
        members: sha256 of the results that a method averages.
        runs: Results of single models, with their files, by the folder of the entry that they belong to.
    """

    entries: list[Entry] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    members: set[str] = field(default_factory=set)
    runs: dict[Path, list[tuple[Path, RunResult]]] = field(default_factory=dict)


def entries_of_path(path: Path) -> Gathered:
    """The entries of a folder, or of one of its files.

    A file that cannot be read is left out with the reason, and the others are shown. The results that a method
    averages are part of its entry, and have none of their own.

    Args:
        path: A folder of results, of entries or of records, or a single file.

    Raises:
        DataError: If the path does not exist, or there is no file of results in it.
    """
    if not path.exists():
        raise DataError(f"{path} does not exist; expected a folder of results, or a file such as {RECORDS_NAME}")
    root = path if path.is_dir() else path.parent
    files = _files(path)
    if not files:
        raise DataError(
            f"{path} holds no results; expected {', '.join(_NAMES[:-1])} or {_NAMES[-1]} in it, or in a folder below"
        )
    found = _Found()
    for file in files:
        try:
            _read(file, root, found)
        except (MlipOodError, RecursionError, OSError) as cause:
            found.left_out.append(LeftOut(_place(file, root), _cause(cause, root)))
    for folder, runs in sorted(found.runs.items()):
        found.entries += _of_runs(folder, runs, root, found)
    return Gathered(tuple(found.entries), tuple(found.left_out))


def _files(path: Path) -> list[Path]:
    """The files of results, methods first: they say which results are theirs."""
    if path.is_file():
        if path.name not in _NAMES:
            raise DataError(f"{path} is none of {', '.join(_NAMES)}; name one of these, or the folder of results")
        return [path]
    files = [each for each in path.rglob("*.json*") if each.name in _NAMES and each.is_file()]
    if len(files) > MAX_FILES:
        raise DataError(
            f"{path} holds {len(files):,} files of results; expected at most {MAX_FILES:,}: name a part of it"
        )
    return sorted(files, key=lambda file: (_NAMES.index(file.name), file.as_posix()))


def _read(file: Path, root: Path, found: _Found) -> None:
    n_bytes = file.stat().st_size
    if n_bytes > MAX_BYTES:
        raise DataError(f"it has {n_bytes:,} bytes; expected at most {MAX_BYTES:,}")
    if file.name == RECORDS_NAME:
        read = entries_of_records(file, _place(file, root))
        found.entries += read.entries
        found.left_out += read.left_out
    elif file.name == METHOD_NAME:
        method = MethodResult.load(file.parent)
        found.members |= {member.result_sha256 for member in method.members}
        submitted = _submitted(file.parent)
        found.entries.append(entry_of_result(method.result, _origin(file, root, submitted), submitted.get("name")))
    elif bytes_sha256(file.read_bytes()) not in found.members:
        result = RunResult.load(file)
        found.runs.setdefault(_entry_folder(file, root), []).append((file, result))


def _of_runs(folder: Path, runs: Iterable[tuple[Path, RunResult]], root: Path, found: _Found) -> Iterator[Entry]:
    """The entries of single models; runs of one model on several tasks are one."""
    places = {id(result): file for file, result in runs}
    submitted: Mapping[str, str] = {}
    if (folder / ENTRY_NAME).is_file():
        try:
            submitted = _submitted(folder)
        except MlipOodError as cause:
            found.left_out.append(LeftOut(_place(folder / ENTRY_NAME, root), _cause(cause, root)))
    for group in joined([result for _, result in runs]):
        result = as_one(group)
        yield entry_of_result(result, _origin(places[id(group[0])], root, submitted), submitted.get("name"))


def _entry_folder(file: Path, root: Path) -> Path:
    """The folder of the entry of a repo of results that a run belongs to; else the folder that is read."""
    inside = [parent for parent in file.parents if parent.is_relative_to(root)]
    return next((parent for parent in inside if (parent / ENTRY_NAME).is_file()), root)


def _submitted(folder: Path) -> dict[str, str]:
    """Name and checkpoint that an entry of a repo of results states; nothing for other folders."""
    path = folder / ENTRY_NAME
    if not path.is_file():
        return {}
    document = parse_entry(path.read_bytes(), ENTRY_NAME)
    return {"name": document.name} | ({"checkpoint": document.checkpoint} if document.checkpoint else {})


def _origin(file: Path, root: Path, submitted: Mapping[str, str]) -> Origin:
    checkpoint = submitted.get("checkpoint")
    pinned = _PINNED.fullmatch(checkpoint or "")
    address = hub_page(pinned["repo"], pinned["revision"]) if pinned else https_address(checkpoint)
    text = _place(file, root) + (f"; weights, as stated: {one_line(checkpoint)}" if checkpoint else "")
    return Origin("results", text, address)


def _place(file: Path, root: Path) -> str:
    """A path below the folder that was named, with that folder's own name; no path of the machine."""
    return one_line((Path(root.resolve().name) / file.relative_to(root)).as_posix())


def _cause(cause: Exception, root: Path) -> str:
    if isinstance(cause, RecursionError):
        return "its JSON is nested too deeply; expected a file that the harness wrote"
    text = str(cause)
    for each in (root, root.resolve()):
        text = text.replace(f"{each}/", "").replace(str(each), root.resolve().name)
    return one_line(text)
