"""Copies an untrusted entry into a private folder: only plain files of the stated sizes and hashes.

All later steps read only these copies, so links, devices and files that change meanwhile have no effect.
"""

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dataset_builders.core.errors import DataError
from dataset_builders.core.hashes import SHORT_HASH, bytes_sha256
from dataset_builders.core.shown import shown
from harness.submission.entry_document import (
    ENTRY_NAME,
    MAX_ENTRY_BYTES,
    RUNS_NAME,
    EntryDocument,
    FileRecord,
    parse_entry,
)

MAX_FILES: Final = 100_000
_MAX_DEPTH: Final = 5
_MAX_NAMED: Final = 3
# Do not follow links or wait for pipes. Windows lacks these flags, and links there need a privilege.
_FLAGS: Final = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


@dataclass(frozen=True, slots=True)
class StagedEntry:
    """An entry whose files match its document.

    Attributes:
        document: The document.
        directory: The private folder of its files.
    """

    document: EntryDocument
    directory: Path

    def run_directory(self, run_id: str) -> Path:
        """The folder of a run."""
        return self.directory / RUNS_NAME / run_id


def stage_entry(directory: Path, workspace: Path) -> StagedEntry:
    """Copies an entry and checks each file.

    Args:
        directory: Folder of the entry.
        workspace: An empty folder for the copies.

    Raises:
        DataError: If the folder is not an entry, its name does not match its content, or it contains a file that is
            not a plain file, not listed in its document, or different from the document.
    """
    try:
        sizes = dict(_plain_files(directory))
    except OSError as cause:
        raise DataError(f"the folder cannot be read: {cause.strerror}; expected the folder of an entry") from cause
    if ENTRY_NAME not in sizes:
        raise DataError(f"{ENTRY_NAME} is absent; an entry is a folder that `python -m harness submit` wrote")
    content = _read(directory / ENTRY_NAME, MAX_ENTRY_BYTES)
    document = parse_entry(content, ENTRY_NAME)
    if directory.resolve().name != document.folder:
        raise DataError(
            f"the folder is named {shown(directory.resolve().name)}; expected {document.folder}, from its name and its "
            "runs. Write the entry with `python -m harness submit`, which names it"
        )
    _require_same_files(sizes, document.carried())
    for path, file in document.carried().items():
        _copy(directory, path, file, workspace)
    return StagedEntry(document, workspace)


def _plain_files(directory: Path) -> Iterator[tuple[str, int]]:
    """Paths and sizes of all files in a folder; anything but a plain file is refused before any file is opened."""
    if not stat.S_ISDIR(directory.lstat().st_mode):
        raise DataError(f"{shown(directory.name)} is not a folder, or is a link; expected the folder of an entry")
    waiting, found = [("", directory, 0)], 0
    while waiting:
        above, folder, depth = waiting.pop()
        with os.scandir(folder) as children:
            for child in children:
                path = f"{above}{child.name}"
                found += 1
                if found > MAX_FILES or depth >= _MAX_DEPTH:
                    raise DataError(f"it has more than {MAX_FILES:,} files, or folders deeper than {_MAX_DEPTH}")
                mode = child.stat(follow_symlinks=False)
                if stat.S_ISDIR(mode.st_mode):
                    waiting.append((f"{path}/", folder / child.name, depth + 1))
                elif stat.S_ISREG(mode.st_mode):
                    yield path, mode.st_size
                else:
                    kind = "a symbolic link" if stat.S_ISLNK(mode.st_mode) else "not a plain file"
                    raise DataError(f"{shown(path)} is {kind}; an entry contains plain files only")


def _require_same_files(sizes: Mapping[str, int], listed: Mapping[str, FileRecord]) -> None:
    extra, absent = sorted(sizes.keys() - listed.keys() - {ENTRY_NAME}), sorted(listed.keys() - sizes.keys())
    for names, what in ((extra, "contains files that it does not list"), (absent, "lacks files that it lists")):
        if names:
            named = ", ".join(shown(name) for name in names[:_MAX_NAMED])
            raise DataError(f"it {what}: {len(names)}, first {named}. Write the entry with `python -m harness submit`")
    for path, file in listed.items():
        if sizes[path] != file.n_bytes:
            raise DataError(f"{path} has {sizes[path]:,} bytes; {ENTRY_NAME} states {file.n_bytes:,}{_REMEDY}")


_REMEDY: Final = (
    ". It was changed, truncated, or checked out with other line endings; copy the entry as it was written, and keep "
    "`* -text` in .gitattributes"
)


def _copy(directory: Path, path: str, file: FileRecord, workspace: Path) -> None:
    target = workspace / path
    target.parent.mkdir(parents=True, exist_ok=True)
    content = _read(directory / path, file.n_bytes)
    require_content(path, content, file)
    target.write_bytes(content)


def require_content(path: str, content: bytes, file: FileRecord) -> None:
    """Checks the content of a file against the entry.

    Raises:
        DataError: If it differs.
    """
    found = bytes_sha256(content)
    if len(content) != file.n_bytes or found != file.sha256:
        raise DataError(
            f"{path} has the sha256 {found[:SHORT_HASH]}; {ENTRY_NAME} states {file.sha256[:SHORT_HASH]}{_REMEDY}"
        )


def _read(path: Path, most: int) -> bytes:
    """Reads a plain file of bounded size."""
    try:
        with os.fdopen(os.open(path, _FLAGS), "rb") as stream:
            if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                raise DataError(f"{shown(path.name)} is not a plain file; an entry contains plain files only")
            content = stream.read(most + 1)
    except OSError as cause:
        raise DataError(f"{shown(path.name)} cannot be read: {cause.strerror}; expected a plain file") from cause
    if len(content) > most:
        raise DataError(f"{shown(path.name)} is larger than {most:,} bytes and is not read; expected a smaller file")
    return content
