"""Published checkpoints: the level of theory of each, recognised by the bytes or the name of its files.

The table is `known_checkpoints.toml` beside this file, and the only place where levels of published checkpoints stand:
the adapters read it too. The sha256 of a file proves which checkpoint it is. A name is only a claim, since anybody may
give any file any name; results say which of the two it was.
"""

import functools
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal, get_args

TABLE: Final = Path(__file__).with_suffix(".toml")

Evidence = Literal["sha256", "name"]
Molecular = Literal["input", "none"]
"""Whether a model takes a property of a molecule as input, or was trained without it."""


@dataclass(frozen=True, slots=True)
class KnownCheckpoint:
    """A published checkpoint, or a series of sizes that share all facts; `None` or empty where a fact is not known.

    Attributes:
        name: Name in results.
        family: Family that reads it, or the name of its package.
        source: Paper or address.
        models: Its names in that package.
        files: Regular expressions of whole file names, in any case.
        repos: Regular expressions of whole names of repos or folders, without the owner, in any case.
        hub: Ids of repos on the Hub.
        examples: Names of files or repos that it recognises.
        level: Level of theory of the training labels; `None` where it depends on the readout head.
        levels: The level by readout head or task.
        elements: Elements, as symbols or as a range.
        charge: What it takes of the charge of a molecule.
        spin: What it takes of the spin multiplicity.
        training: Training data.
        licence: Licence of the weights.
        sha256: sha256 of published files, by name.
    """

    name: str
    family: str
    source: str
    models: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    repos: tuple[str, ...] = ()
    hub: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()
    level: str | None = None
    levels: Mapping[str, str] = field(default_factory=dict)
    elements: str | None = None
    charge: Molecular | None = None
    spin: Molecular | None = None
    training: str | None = None
    licence: str | None = None
    sha256: Mapping[str, str] = field(default_factory=dict)

    def level_of(self, head: str | None) -> str | None:
        """Level of theory of a readout head; of a checkpoint with one level for any head."""
        if self.level is not None:
            return self.level
        if head is None:
            return next(iter(self.levels.values())) if len(self.levels) == 1 else None
        return self.levels.get(head)

    def has_file(self, name: str) -> bool:
        """Whether a file name is one of its own."""
        return any(re.fullmatch(pattern, name, re.IGNORECASE) for pattern in self.files)

    def has_repo(self, place: str) -> bool:
        """Whether a Hub id or the name of a folder is one of its own."""
        name = place.rstrip("/").rpartition("/")[2]
        return place.lower() in (each.lower() for each in self.hub) or any(
            re.fullmatch(pattern, name, re.IGNORECASE) for pattern in self.repos
        )


@dataclass(frozen=True, slots=True)
class Recognised:
    """A known checkpoint, and how it was recognised."""

    checkpoint: KnownCheckpoint
    by: Evidence


@functools.cache
def known_checkpoints() -> tuple[KnownCheckpoint, ...]:
    """All rows of the table, in order.

    Raises:
        ValueError: If the table has an unknown key or value; a test checks it.
    """
    return checkpoints_in(TABLE.read_text(encoding="utf-8"))


def checkpoints_in(text: str) -> tuple[KnownCheckpoint, ...]:
    """The rows of a table in TOML.

    Raises:
        ValueError: If it has an unknown key or value.
    """
    return tuple(_row(document) for document in tomllib.loads(text)["checkpoint"])


def known_models(family: str) -> Mapping[str, str]:
    """The level of theory of each model of a family, by its name in the family's package."""
    return MappingProxyType(
        {
            name: row.level
            for row in known_checkpoints()
            if row.family == family and row.level is not None
            for name in row.models
        }
    )


def level_of_file(family: str, name: str, head: str | None = None) -> str | None:
    """The level of theory that the name of a file claims; `None` if the family publishes no file of that name."""
    rows = [row for row in known_checkpoints() if row.family == family and row.has_file(name)]
    return rows[0].level_of(head) if len(rows) == 1 else None


def recognise(files: Mapping[str, str], place: str | None = None, method: str | None = None) -> Recognised | None:
    """The known checkpoint that files belong to.

    Args:
        files: sha256 of each file that a model was read from, by file name.
        place: Hub id of the repo, or path of the folder, if the user named that and not a file in it.
        method: Name of a model whose weights its package ships.

    Returns:
        The checkpoint whose file has the same bytes; otherwise that of the name of a file, of the model, or of the
        repo or folder; `None` if none fits, or the names fit several.
    """
    hashes = set(files.values())
    same = [row for row in known_checkpoints() if hashes & set(row.sha256.values())]
    if same:
        return Recognised(same[0], "sha256")
    for found in _by_name(list(files), place, method):
        if found:
            # A name that two checkpoints share decides nothing.
            return Recognised(found[0], "name") if len(found) == 1 else None
    return None


def _by_name(names: Sequence[str], place: str | None, method: str | None) -> Iterator[list[KnownCheckpoint]]:
    rows = known_checkpoints()
    yield [row for row in rows if any(map(row.has_file, names))]
    yield [row for row in rows if method is not None and method in row.models]
    yield [row for row in rows if place is not None and row.has_repo(place)]


_TEXTS: Final = ("name", "family", "source", "level", "elements", "training", "licence")
_LISTS: Final = ("models", "files", "repos", "hub", "examples")
_TABLES: Final = ("levels", "sha256")
_CHOICES: Final = ("charge", "spin")


def _row(document: Mapping[str, Any]) -> KnownCheckpoint:
    name = document.get("name", "a checkpoint without a name")
    for key, value in document.items():
        is_good = (
            (key in _TEXTS and isinstance(value, str) and bool(value.strip()))
            or (key in _LISTS and isinstance(value, list) and all(isinstance(each, str) for each in value))
            or (key in _TABLES and isinstance(value, dict) and all(isinstance(each, str) for each in value.values()))
            or (key in _CHOICES and value in get_args(Molecular))
        )
        if not is_good:
            raise ValueError(f"{name} has {key} = {value!r}; the head of {TABLE.name} explains the keys")
    lacking = [key for key in ("name", "family", "source") if key not in document]
    if lacking or not ("level" in document) ^ ("levels" in document):
        raise ValueError(f"{name} lacks {' '.join(lacking) or 'one of level and levels'}")
    values: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in document.items()
    }
    return KnownCheckpoint(**values)
