"""Finished labels in a work folder: files of many labels, each written by only one worker.

A label is on disk soon after it is computed, so a long computation can be interrupted at any time. Incomplete labels
of a killed worker are skipped. Folders of earlier versions, with a file for each label, are read too.
"""

import contextlib
import os
import re
import secrets
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from dataset_builders.core.arrays import FloatArray
from dataset_builders.core.errors import DataError
from dataset_builders.core.writing import writing

SUFFIX: Final = ".labels"
KEY_BYTES: Final = 16
KeyArray = npt.NDArray[np.bytes_]
"""Keys of frames, shape (n_frames,), of KEY_BYTES bytes each."""

Add = Callable[[bytes, float, FloatArray], None]
"""Adds a label: key of the frame, energy in eV, forces in eV/Å of shape (n_atoms, 3)."""

_HEAD: Final = struct.Struct(f"<4sI{KEY_BYTES}sd")
_CHECK: Final = struct.Struct("<I")
_MARK: Final = b"lbl1"
_MAX_ATOMS: Final = 2**15 - 1
"""Largest number of atoms of a row in the schema."""

_ONE_LABEL: Final = re.compile(rf"([0-9a-f]{{{2 * KEY_BYTES}}})\.npz")
_SYNC_SECONDS: Final = 1.0
"""Time between syncs to disk. A power cut may lose labels of this time; a sync per label could outlast the label."""

_OWN: Final = threading.local()


@contextlib.contextmanager
def label_file(folder: Path) -> Iterator[Add]:
    """Returns a function that appends labels to this worker's file in a folder; later calls use the same file.

    Raises:
        SetupError: If the folder is not writable or the disk is full, now or when a label is added.
    """
    path = folder / f"{_own_name()}{SUFFIX}"
    with contextlib.ExitStack() as stack:
        with _writing(folder):
            stream = stack.enter_context(path.open("ab", buffering=0))
        synced = time.monotonic()

        def add(key: bytes, energy: float, forces: FloatArray) -> None:
            nonlocal synced
            with _writing(folder):
                _write(stream, record_of(key, energy, forces))
                if time.monotonic() - synced > _SYNC_SECONDS:
                    os.fsync(stream.fileno())
                    synced = time.monotonic()

        try:
            yield add
            with _writing(folder):
                os.fsync(stream.fileno())
        except BaseException:
            # Nothing may follow an incomplete label.
            _OWN.name = None
            raise


def _writing(folder: Path) -> contextlib.AbstractContextManager[None]:
    # An error of the whole command: without it, each further label would be computed, for minutes, and lost.
    return writing(folder, "choose another folder with --work")


def _own_name() -> str:
    """A name unique to this worker: machines may share host names, and containers process ids."""
    process, name = getattr(_OWN, "name", None) or (0, "")
    if process != os.getpid():
        name = secrets.token_hex(8)
        _OWN.name = (os.getpid(), name)
    return name


def _write(stream: Any, content: bytes) -> None:
    left = memoryview(content)
    while left:
        left = left[stream.write(left) :]


def record_of(key: bytes, energy: float, forces: FloatArray) -> bytes:
    """A label as stored in a file: mark, number of atoms, key, energy, forces in float64, and CRC-32."""
    values = np.ascontiguousarray(forces, dtype="<f8")
    content = _HEAD.pack(_MARK, len(values), key, energy) + values.tobytes()
    return content + _CHECK.pack(zlib.crc32(content))


@dataclass(frozen=True, slots=True, eq=False)
class LabelStore:
    """Locations of labels; some twenty bytes per label, so that millions fit into memory.

    Attributes:
        folder: The folder.
        keys: Keys of the labels, sorted, each once.
        sources: Files of labels.
        source_of: Index of the file of each label; -1 for a separate file.
        offsets: Offset of each label in its file.
    """

    folder: Path
    keys: KeyArray
    sources: "tuple[Path | IO[bytes], ...]"
    source_of: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int64]

    def has(self, keys: KeyArray) -> npt.NDArray[np.bool_]:
        """Mask of the keys that have a label, shape (n_keys,)."""
        return found_in(self.keys, keys)

    def labels_of(self, keys: KeyArray) -> list[tuple[float, FloatArray]]:
        """Energy in eV and forces in eV/Å, shape (n_atoms, 3), for each key; all keys must have labels."""
        places = np.searchsorted(self.keys, keys)
        found: dict[int, tuple[float, FloatArray]] = {}
        for number in np.unique(self.source_of[places]):
            inside = np.unique(places[self.source_of[places] == number])
            if number < 0:
                found |= {int(place): _read_one_label(self._own_file(place)) for place in inside}
                continue
            with _opened(self.sources[number]) as stream:
                for place in inside[np.argsort(self.offsets[inside])]:
                    stream.seek(int(self.offsets[place]))
                    found[int(place)] = _label_at(stream)
        return [found[int(place)] for place in places]

    def _own_file(self, place: int) -> Path:
        return self.folder / f"{self.keys[place].ljust(KEY_BYTES, bytes(1)).hex()}.npz"


def found_in(sorted_keys: KeyArray, keys: KeyArray) -> npt.NDArray[np.bool_]:
    """Mask of the keys that occur among sorted keys, shape (n_keys,)."""
    if not len(sorted_keys):
        return np.zeros(len(keys), dtype=bool)
    places = np.minimum(np.searchsorted(sorted_keys, keys), len(sorted_keys) - 1)
    return np.asarray(sorted_keys[places] == keys)


def open_store(folder: Path, others: "Sequence[IO[bytes]]" = ()) -> LabelStore:
    """Finds all labels of a folder and of other open files; the folder has priority.

    Raises:
        DataError: If a file has damage that a killed worker cannot explain.
    """
    sources: tuple[Path | IO[bytes], ...] = (*sorted(folder.glob(f"*{SUFFIX}")), *others)
    keys, source_of, offsets = [np.empty(0, f"S{KEY_BYTES}")], [np.empty(0, np.int32)], [np.empty(0, np.int64)]
    for number, source in enumerate(sources):
        with _opened(source) as stream:
            # A list would need ten times the memory.
            found = np.fromiter(_scan(stream, str(source)), [("key", f"S{KEY_BYTES}"), ("offset", np.int64)])
        keys.append(found["key"])
        offsets.append(found["offset"])
        source_of.append(np.full(len(found), number, np.int32))
    own = [match[1] for match in map(_ONE_LABEL.fullmatch, _names_in(folder)) if match]
    keys.append(np.array([bytes.fromhex(name) for name in own], f"S{KEY_BYTES}"))
    offsets.append(np.zeros(len(own), np.int64))
    source_of.append(np.full(len(own), -1, np.int32))
    unique, first = np.unique(np.concatenate(keys), return_index=True)
    return LabelStore(folder, unique, sources, np.concatenate(source_of)[first], np.concatenate(offsets)[first])


def _names_in(folder: Path) -> Iterator[str]:
    if folder.is_dir():
        with os.scandir(folder) as entries:
            yield from (entry.name for entry in entries)


@contextlib.contextmanager
def _opened(source: "Path | IO[bytes]") -> "Iterator[IO[bytes]]":
    if isinstance(source, Path):
        with source.open("rb") as stream:
            yield stream
    else:
        source.seek(0)
        yield source


def _scan(stream: IO[bytes], name: str) -> Iterator[tuple[bytes, int]]:
    """Key and offset of each complete label of a file, up to an incomplete one of a killed worker."""
    offset = 0
    while head := stream.read(_HEAD.size):
        if len(head) < _HEAD.size:
            return
        mark, n_atoms, key, _ = _HEAD.unpack(head)
        is_label = mark == _MARK and n_atoms <= _MAX_ATOMS
        size = 24 * n_atoms + _CHECK.size if is_label else 0
        rest = stream.read(size)
        if len(rest) < size:
            return
        if not is_label or _CHECK.unpack(rest[-_CHECK.size :])[0] != zlib.crc32(head + rest[: -_CHECK.size]):
            if not stream.read().strip(bytes(1)) and (is_label or not head.strip(bytes(1))):
                return  # The end of the file, corrupted by a power cut.
            raise DataError(
                f"{name} is damaged at byte {offset:,}, within its labels; delete it, and run the same command again "
                "to recompute its labels"
            )
        yield key, offset
        offset += len(head) + len(rest)


def _label_at(stream: IO[bytes]) -> tuple[float, FloatArray]:
    _, n_atoms, _, energy = _HEAD.unpack(stream.read(_HEAD.size))
    return energy, np.frombuffer(stream.read(24 * n_atoms), "<f8").reshape(-1, 3)


def _read_one_label(path: Path) -> tuple[float, FloatArray]:
    try:
        with np.load(path, allow_pickle=False) as label:
            return float(label["energy"]), label["forces"]
    except (OSError, ValueError, KeyError, BadZipFile) as cause:
        raise DataError(
            f"{path} is not a label ({cause}); delete it, and run the same command again to recompute it"
        ) from cause
