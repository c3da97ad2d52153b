"""JSON and TOML of others: whatever cannot be read is a `ValueError`, and a file is read only up to a size.

Python's parsers raise `RecursionError` on deep nesting, and TOML's raises a plain `ValueError` on long integers; both
accept text with half a surrogate pair, which no file can be written with.
"""

import json
import tomllib
from pathlib import Path
from typing import Any, Final

MAX_BYTES: Final = 16 * 2**20
"""Largest file that is read by default; the documents of this project and of checkpoints have some kilobytes."""

_TOO_DEEP: Final = "it is nested too deeply"


def parse_json(text: str | bytes) -> Any:
    """Parses JSON.

    Raises:
        ValueError: If it is not JSON, is nested too deeply, or contains half a surrogate pair.
    """
    try:
        document = json.loads(text)
        if (b"\\ud" if isinstance(text, bytes) else "\\ud") in text.lower():  # type: ignore[operator]
            json.dumps(document, ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    return document


def json_file(path: Path, most: int = MAX_BYTES) -> Any:
    """Reads a JSON file.

    Args:
        path: The file, in UTF-8.
        most: Largest size that is read, in bytes.

    Raises:
        OSError: If it cannot be opened.
        ValueError: If it is longer, or as `parse_json`.
    """
    with path.open("rb") as stream:
        content = stream.read(most + 1)
    if len(content) > most:
        raise ValueError(f"it is longer than {most:,} bytes")
    return parse_json(content.decode("utf-8"))


def parse_toml(text: str) -> dict[str, Any]:
    """Parses TOML.

    Raises:
        TOMLDecodeError: If it is not TOML, is nested too deeply, or contains an integer of thousands of digits.
    """
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raise
    except RecursionError:
        raise tomllib.TOMLDecodeError(_TOO_DEEP) from None
    except ValueError as cause:
        raise tomllib.TOMLDecodeError(str(cause)) from cause
