"""What was found out about source files, kept between processes, since it takes half a second to find out.

It lies in the user's cache (`$XDG_CACHE_HOME/mlip-ood`, by default `~/.cache/mlip-ood`), under the hash of each file's
content, as Python's compiled modules lie beside theirs. It may be deleted at any time, and what cannot be read or
written is found out again.
"""

import contextlib
import functools
import hashlib
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dataset_builders.core.whole_file import write_text_whole

_MOST: Final = 5000
"""Files that are kept; the source of this project has some 500."""


@dataclass(frozen=True, slots=True)
class SourceDigest:
    """What is kept of a source file.

    Attributes:
        imports: Names under which it may import modules, also inside functions; not all of them are modules.
        code: sha256 of its code without comments and docstrings; if it is not Python source, of the whole file.
    """

    imports: tuple[str, ...]
    code: str


class SourceDigests:
    """Digests of files by what they contain.

    Args:
        reader: The source file of the code that finds them out; another version of it, or of Python, starts anew.
    """

    def __init__(self, reader: Path) -> None:
        self._reader = reader
        self._is_new = False

    @functools.cached_property
    def _known(self) -> dict[str, SourceDigest]:
        return _read(self._path())

    @staticmethod
    def key(name: str, path: Path, content: bytes) -> str:
        """The key of a file; relative imports depend on the name of the module."""
        head = json.dumps([name, path.name])
        return hashlib.sha256(head.encode() + b"\0" + content).hexdigest()

    def get(self, key: str) -> SourceDigest | None:
        """The digest of a file; `None` if it is not known."""
        return self._known.get(key)

    def add(self, key: str, digest: SourceDigest) -> None:
        """Keeps the digest of a file, on disk after `save`."""
        self._known[key] = digest
        self._is_new = True

    def save(self) -> None:
        """Writes what was added; a folder that cannot be written to is no error."""
        if not self._is_new:
            return
        self._is_new = False
        path = self._path()
        if path is not None:
            merged = _read(path) | self._known
            newest = dict(list(merged.items())[-_MOST:])
            with contextlib.suppress(OSError):
                write_text_whole(path, _text(newest))

    def _path(self) -> Path | None:
        try:
            home = Path(os.environ.get("XDG_CACHE_HOME", ""))
            if not home.is_absolute():  # such are to be ignored, by the standard of these folders
                home = Path.home() / ".cache"
            reader = hashlib.sha256(f"{sys.version}\0".encode() + self._reader.read_bytes()).hexdigest()
        except (OSError, RuntimeError):  # RuntimeError: this user has no home
            return None
        return home / "mlip-ood" / f"source-{reader[:16]}.json"


def _text(known: Mapping[str, SourceDigest]) -> str:
    return json.dumps({key: [each.code, *each.imports] for key, each in known.items()}, separators=(",", ":"))


def _read(path: Path | None) -> dict[str, SourceDigest]:
    """The digests in a file; none if it is absent or damaged."""
    try:
        document = json.loads(path.read_bytes()) if path else {}
        known = {key: SourceDigest(tuple(imports), code) for key, (code, *imports) in document.items()}
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return {}
    words = (word for each in known.values() for word in (each.code, *each.imports))
    return known if all(isinstance(word, str) for word in words) else {}
