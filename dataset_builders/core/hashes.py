"""sha256 of files, texts and JSON documents, in hexadecimal, and the length of the short form."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

SHORT_HASH: Final = 12
"""Hexadecimal digits of the short hashes in output for people and in names of folders and files."""


def file_sha256(path: Path) -> str:
    """The sha256 of a file, read in chunks.

    Raises:
        OSError: If it cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def bytes_sha256(content: bytes) -> str:
    """The sha256 of bytes."""
    return hashlib.sha256(content).hexdigest()


def text_sha256(text: str) -> str:
    """The sha256 of a text in UTF-8."""
    return bytes_sha256(text.encode())


def document_sha256(document: Mapping[str, object]) -> str:
    """The sha256 of a JSON document, independent of the order of its keys."""
    return text_sha256(json.dumps(dict(document), sort_keys=True))
