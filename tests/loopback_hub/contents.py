"""Bytes of all files, by their SHA-256: in memory, or as plain files in a folder."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

CHUNK_BYTES = 1 << 20


class Contents:
    """Keeps every content once.

    Args:
        folder: Where to keep them; in memory if there is none.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._in_memory: dict[str, bytes] = {}

    def add(self, content: bytes) -> str:
        """Keeps a content and gives its SHA-256 in hexadecimal digits."""
        sha256 = hashlib.sha256(content).hexdigest()
        if self._folder is None:
            self._in_memory[sha256] = content
            return sha256
        path = self._path(self._folder, sha256)
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            # A start after a kill must not find half a file under a full name.
            partial = path.with_suffix(".partial")
            partial.write_bytes(content)
            partial.replace(path)
        return sha256

    def read(self, sha256: str, start: int = 0, stop: int | None = None) -> bytes:
        """Bytes `start` to `stop` of a content."""
        if self._folder is None:
            return self._in_memory[sha256][start:stop]
        with self._path(self._folder, sha256).open("rb") as file:
            file.seek(start)
            return file.read() if stop is None else file.read(stop - start)

    def size(self, sha256: str) -> int:
        """Bytes of a content."""
        if self._folder is None:
            return len(self._in_memory[sha256])
        return self._path(self._folder, sha256).stat().st_size

    def chunks(self, sha256: str, start: int, stop: int) -> Iterator[bytes]:
        """Bytes `start` to `stop` of a content, in pieces of a MiB."""
        for position in range(start, stop, CHUNK_BYTES):
            yield self.read(sha256, position, min(position + CHUNK_BYTES, stop))

    @staticmethod
    def _path(folder: Path, sha256: str) -> Path:
        return folder / sha256[:2] / sha256
