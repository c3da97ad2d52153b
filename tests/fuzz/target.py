"""A target: a reader of files that strangers write, and valid files that are spoiled for it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Kind = Literal["json", "yaml", "toml", "text", "parquet", "safetensors", "bytes"]
"""How the content of a file is spoiled; see `mutations.py`."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A prepared target.

    Attributes:
        read: Reads the file; raises an error of the project, or returns.
        seeds: Contents that `read` accepts.
    """

    read: Callable[[], object]
    seeds: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class Target:
    """A target.

    Attributes:
        name: Its name on the command line.
        kind: How its file is spoiled.
        file: Path of the file, relative to the folder.
        prepare: Writes what the reader needs beside the file into a folder, and returns the reader and seeds.
        seconds: Longest time that one input may take.
        is_lenient: Whether the reader reports spoiled files instead of raising an error.
    """

    name: str
    kind: Kind
    file: str
    prepare: Callable[[Path], Reading]
    seconds: float = 10.0
    is_lenient: bool = False
