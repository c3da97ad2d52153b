"""Sizes of files and of memory for people."""

from typing import Final

_UNITS: Final = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


def size_text(n_bytes: int) -> str:
    """A size for people, such as `1.2 MB`."""
    return next((f"{n_bytes / unit:,.1f} {name}" for unit, name in _UNITS if n_bytes >= unit), f"{n_bytes} bytes")
