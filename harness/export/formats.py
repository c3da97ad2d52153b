"""The formats of an export: the files of a split, and the functions that write them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal, Protocol

from dataset_builders.core.errors import UsageError
from dataset_builders.tasks.editions import SplitName
from harness.data.rows import SplitRows
from harness.export.ase_database import write_ase_database
from harness.export.ase_lmdb import DATA_NAME, METADATA_NAME, require_lmdb, write_lmdb
from harness.export.extxyz import write_extxyz
from harness.export.keys import REFERENCE_KEYS, RESULT_KEYS, LabelKeys, require_usable
from harness.export.packed import write_packed

FormatName = Literal["extxyz", "ase-db", "npz", "lmdb"]


class Writer(Protocol):
    """Writes a split."""

    def __call__(self, place: Path, pieces: Iterable[SplitRows], keys: LabelKeys) -> None:
        """Writes pieces of a split to a place, with the given names of the labels."""
        ...


@dataclass(frozen=True, slots=True)
class Format:
    """An export format.

    Attributes:
        name: Name on the command line.
        suffix: Suffix of the file of a split; empty for a folder.
        files: Files in the folder of a split; none for a single file.
        write: Writes a split.
        keys: Default names of the labels; `None` if they are calculator results.
    """

    name: FormatName
    suffix: str
    write: Writer
    keys: LabelKeys | None = None
    files: tuple[str, ...] = ()

    def place(self, split: SplitName) -> str:
        """File or folder of a split in the folder of an export."""
        return f"{split}{self.suffix}"

    def data(self, split: SplitName) -> str:
        """The file that contains the frames of a split."""
        return f"{split}/{self.files[0]}" if self.files else self.place(split)


def _write_database(place: Path, pieces: Iterable[SplitRows], keys: LabelKeys) -> None:
    del keys
    write_ase_database(place, pieces)


def _write_lmdb(place: Path, pieces: Iterable[SplitRows], keys: LabelKeys) -> None:
    del keys
    write_lmdb(place, pieces)


FORMATS: Final[Mapping[FormatName, Format]] = MappingProxyType(
    {
        each.name: each
        for each in (
            Format("extxyz", ".extxyz", write_extxyz, REFERENCE_KEYS),
            Format("ase-db", ".db", _write_database),
            Format("npz", ".npz", write_packed, RESULT_KEYS),
            Format("lmdb", "", _write_lmdb, files=(DATA_NAME, METADATA_NAME)),
        )
    }
)


def keys_of(form: Format, energy: str | None, forces: str | None) -> LabelKeys:
    """The label names to use for a format.

    Args:
        form: The format.
        energy: Requested name; `None` for the format's default.
        forces: Likewise.

    Raises:
        UsageError: If the format has fixed names, or readers could not find labels under these.
    """
    if form.keys is None:
        if energy is not None or forces is not None:
            raise UsageError(
                f"--format {form.name} stores energy and forces as calculator results, where its readers expect them; "
                "leave out --energy-key and --forces-key"
            )
        return RESULT_KEYS
    keys = LabelKeys(form.keys.energy if energy is None else energy, form.keys.forces if forces is None else forces)
    require_usable(keys)
    return keys


def require_packages(form: Format) -> None:
    """Checks that the packages that a format needs are installed.

    Raises:
        MissingPackageError: If one is missing.
    """
    if form.name == "lmdb":
        require_lmdb()
