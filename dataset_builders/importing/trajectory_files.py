"""Trajectory files: the format is detected from the content, never from the name, and every byte is accounted for.

ASE infers the format from the name (`POSCAR-1.xyz`), splits names at `@` and does not check that a file was read
completely. So only formats whose frames can be counted independently are supported: extended XYZ (also gzipped), and
ASE's own trajectories and databases (SQLite and JSON).
"""

import gzip
import io
import json
import sqlite3
import stat
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final
from urllib.parse import quote

import numpy as np

from dataset_builders.core.errors import DataError
from dataset_builders.core.shown import shown
from dataset_builders.importing.extended_xyz import xyz_frames

if TYPE_CHECKING:
    from ase import Atoms
    from ase.db.row import AtomsRow

_FORMATS: Final = "extended XYZ, plain or gzipped, or ASE's .traj, .db or .json"
_GZIP: Final = b"\x1f\x8b"
_ULM: Final = (b"- of UlmASE-Trajectory", b"AFFormatASE-Trajectory")
_SQLITE: Final = b"SQLite format 3\x00"
_OTHER_MAGIC: Final = {b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
_PICKLE: Final = "a pickle, which is not read because reading it can run any code. Convert it to extended XYZ"
_UNREADABLE: Final = {
    b"version https://git-lfs": "a pointer of Git LFS, not the file itself. Fetch the file with `git lfs pull` or "
    "`hf download`",
    b"PK\x03\x04": "a zip file, as .npz and .pt files are. Extract it, or convert it to extended XYZ",
    b"\x89HDF\r\n": "an HDF5 file. Convert it to extended XYZ",
    b"\x93NUMPY": "a NumPy array. Convert it to extended XYZ",
    b"PAR1": "a Parquet file. Convert it to extended XYZ",
    **{bytes([0x80, protocol]): _PICKLE for protocol in range(2, 6)},
}
"""What a file with these first bytes is, and what to do with it."""

# Readers raise these on truncated or invalid content.
_READING_ERRORS: Final = (
    OSError, EOFError, ValueError, KeyError, IndexError, TypeError, AssertionError, AttributeError, RuntimeError,
    ArithmeticError, MemoryError, struct.error, zlib.error, sqlite3.Error,
)  # fmt: skip


def atoms_of_file(path: Path, stride: int) -> "Iterator[Atoms | str]":
    """The frames of a file, with a description of the problem instead of a malformed frame.

    Args:
        path: A regular file, with any characters in its name.
        stride: Interval between the frames that are returned.

    Raises:
        DataError: If it cannot be read, has an unsupported format, does not consist of complete frames, or has none.
    """
    n_read = 0
    try:
        _require_regular(path)
        with path.open("rb") as stream:
            for atoms in _frames(stream, path, stride):
                yield atoms
                n_read += 1
    except _READING_ERRORS as cause:
        raise DataError(
            f"{path}, frame {n_read * stride} or later: it cannot be read ({type(cause).__name__}: "
            f"{shown(str(cause), 300)}); "
            f"expected a complete file: {_FORMATS}"
        ) from cause
    if not n_read:
        raise DataError(f"{path} has no frame; expected a trajectory: {_FORMATS}")


def _require_regular(path: Path) -> None:
    """Rejects pipes, which would block forever, and folders."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise DataError(f"{path} is not a regular file; expected a trajectory: {_FORMATS}")


def _frames(stream: IO[bytes], path: Path, stride: int) -> "Iterator[Atoms | str]":
    head = stream.read(64)
    stream.seek(0)
    if head.startswith(_GZIP):
        with gzip.open(stream, "rb") as unpacked:
            inner = unpacked.read(64)
            unpacked.seek(0)
            if _reader_of(inner) is not None:
                raise DataError(f"{path} is a gzipped binary file; expected {_FORMATS}. Decompress it")
            yield from _text_frames(unpacked, path, stride)
        return
    for magic, name in _OTHER_MAGIC.items():
        if head.startswith(magic):
            raise DataError(f"{path} is a {name} file; expected {_FORMATS}. Decompress it")
    for magic, described in _UNREADABLE.items():
        if head.startswith(magic):
            raise DataError(f"{path} is {described}; expected {_FORMATS}")
    reader = _reader_of(head)
    if reader is None:
        yield from _text_frames(stream, path, stride)
    else:
        yield from reader(stream, path, stride)


def _reader_of(head: bytes) -> "Callable[[IO[bytes], Path, int], Iterator[Atoms]] | None":
    """The reader of a binary file with these first bytes; `None` for text."""
    if head.startswith(_ULM):
        return _ulm_frames
    if head.startswith(_SQLITE):
        return _sqlite_frames
    if head.lstrip().startswith(b"{"):
        return _json_frames
    return None


def _text_frames(stream: IO[bytes] | gzip.GzipFile, path: Path, stride: int) -> "Iterator[Atoms | str]":
    # Text of any system: a byte order mark and \r\n or \r as line ends are accepted.
    with io.TextIOWrapper(stream, encoding="utf-8-sig") as text:
        yield from xyz_frames(text, path, stride)


def _ulm_frames(stream: IO[bytes], path: Path, stride: int) -> "Iterator[Atoms]":
    from ase.io.trajectory import TrajectoryReader

    n_frames = _ulm_count(stream, path)
    stream.seek(0)
    trajectory = TrajectoryReader(stream)
    for index in range(0, n_frames, stride):
        yield trajectory[index]


def _ulm_count(stream: IO[bytes], path: Path) -> int:
    """Number of frames of an ASE trajectory; checks that its items end at the end of the file.

    A file begins with a tag of 24 bytes, a version, the number of items and the offset of a table of their offsets,
    whose size is a power of 42; an item is its length and that many bytes, after its arrays.
    """
    size = stream.seek(0, io.SEEK_END)
    stream.seek(24)
    _, n_items, table = struct.unpack("<3q", stream.read(24))
    capacity = 1
    while capacity < n_items:
        capacity *= 42
    if not (0 <= n_items <= size and 48 <= table <= size):
        raise DataError(f"{path} has a damaged header; expected an ASE trajectory. Write it again")
    stream.seek(table)
    places = struct.unpack(f"<{n_items}q", stream.read(8 * n_items))
    ends = [table + 8 * capacity]
    if n_items:
        stream.seek(places[-1])
        ends.append(places[-1] + 8 + int(struct.unpack("<q", stream.read(8))[0]))
    if max(ends) != size or list(places) != sorted(set(places)):
        raise DataError(
            f"{path} has {size:,} bytes, but its {n_items:,} frames end at {max(ends):,}: the file or its writing "
            "was cut short; expected a complete trajectory. Write it again"
        )
    return int(n_items)


def _sqlite_frames(_: IO[bytes], path: Path, stride: int) -> "Iterator[Atoms]":
    for suffix in ("-wal", "-journal"):
        beside = path.with_name(path.name + suffix)
        if beside.exists() and beside.stat().st_size:
            raise DataError(f"{path} has pending changes in {beside.name}; close the program that writes to it first")
    with closing(sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro&immutable=1", uri=True)) as database:
        # ASE would write its tables into a database that is not its own.
        tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if "systems" not in tables:
            raise DataError(f"{path} is an SQLite database, but not of ASE; expected {_FORMATS}")
        ((n_rows,),) = database.execute("SELECT COUNT(*) FROM systems")
        sizes = [int(database.execute(f"PRAGMA {name}").fetchone()[0]) for name in ("page_size", "page_count")]
        (sound,) = database.execute("PRAGMA quick_check(1)").fetchone()
    size = path.stat().st_size
    if sound != "ok" or size != sizes[0] * sizes[1]:
        raise DataError(
            f"{path} is damaged: it has {size:,} bytes, but its pages have {sizes[0] * sizes[1]:,}, and the check of "
            f"SQLite returned {sound!r}; expected a complete database"
        )
    yield from _rows(path, "db", int(n_rows), stride)


def _json_frames(stream: IO[bytes], path: Path, stride: int) -> "Iterator[Atoms]":
    document = json.load(stream, object_pairs_hook=_object)
    ids = {key for key in document if key.isdecimal()}
    stated = document.get("ids", sorted(ids))
    listed = stated["__ndarray__"][2] if isinstance(stated, dict) and "__ndarray__" in stated else stated
    if not ids or sorted(map(str, listed)) != sorted(ids):
        raise DataError(
            f"{path} is JSON whose rows {', '.join(sorted(ids)[:5]) or '(none)'} and ids {str(listed)[:60]} differ; "
            f"expected an ASE database, or {_FORMATS}"
        )
    del document
    yield from _rows(path, "json", len(ids), stride)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key occurs twice")
    return found


def _rows(path: Path, kind: str, n_rows: int, stride: int) -> "Iterator[Atoms]":
    """The rows of an ASE database, by id."""
    from ase.db import connect

    n_read = 0
    database = connect(str(path.absolute()), type=kind, serial=True, use_lock_file=False)
    for row in database.select(sort="id"):
        if n_read % stride == 0:
            yield _atoms_of_row(row)
        n_read += 1
    if n_read != n_rows:
        raise DataError(f"{path} has {n_rows:,} rows, of which ASE read {n_read:,}; expected all")


def _atoms_of_row(row: "AtomsRow") -> "Atoms":
    """The atoms of a row, including its key-value pairs and data, which ASE leaves out."""
    atoms: Atoms = row.toatoms()
    data = row.get("data") or {}
    said: Mapping[str, Any] = {**row.key_value_pairs, **data}
    if len(said) < len(row.key_value_pairs) + len(data):
        raise ValueError(f"row {row.id} has {sorted(row.key_value_pairs.keys() & data.keys())[0]} twice")
    for name, value in said.items():
        is_per_atom = isinstance(value, np.ndarray) and value.shape[:1] == (len(atoms),)
        if is_per_atom and name not in atoms.arrays:
            atoms.new_array(name, value)
        else:
            atoms.info[name] = value
    return atoms
