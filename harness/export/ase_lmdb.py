"""ASE's data base in LMDB, a folder a split: what fairchem trains on, and MACE's reader of LMDB.

The rows are written here and not through `ase_db_backends`, which writes down when, goes through the list of all ids
for each row (hours for a million frames), and leaves in the file what the memory held before.
"""

import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from dataset_builders.core.errors import MissingPackageError, SetupError
from harness.data.rows import SplitRows
from harness.export.ase_rows import NO_TIME, ROW_DATA, DatabaseRow, database_rows

if TYPE_CHECKING:
    from lmdb import Environment

DATA_NAME: Final = "data.aselmdb"
METADATA_NAME: Final = "metadata.npz"
_FIRST_SIZE: Final = 2**26
"""Bytes of the map that LMDB starts with; it is doubled as the data grow."""


def require_lmdb() -> None:
    """Checks that what writes and reads these files is there.

    Raises:
        MissingPackageError: If it is not.
    """
    try:
        import ase_db_backends.aselmdb  # noqa: F401
        import lmdb  # noqa: F401
    except ModuleNotFoundError as cause:
        if (cause.name or "").partition(".")[0] not in ("ase_db_backends", "lmdb"):
            raise
        raise MissingPackageError("ase-db-backends", "lmdb", "export --format lmdb") from cause


def write_lmdb(folder: Path, pieces: Iterable[SplitRows]) -> None:
    """Writes a split.

    Args:
        folder: Made; holds the data, and the number of atoms of each frame, by which trainers fill their batches.
        pieces: The rows of the split.

    Raises:
        SetupError: If the disk is full or cannot be written to.
    """
    import lmdb

    folder.mkdir()
    loose = folder / "loose.aselmdb"
    n_atoms: list[int] = []
    try:
        with lmdb.open(str(loose), map_size=_FIRST_SIZE, subdir=False, lock=False, sync=False) as environment:
            next_id = 1
            for rows in database_rows(pieces):
                records = {str(number): _record(row) for number, row in enumerate(rows, start=next_id)}
                next_id += len(records)
                _put(environment, {**records, "nextid": _packed(next_id)})
                n_atoms += [len(row.fields["numbers"]) for row in rows]
            # Packs the pages, so that the file holds the rows and nothing that was there before.
            environment.copy(str(folder / DATA_NAME), compact=True)
    except lmdb.Error as cause:
        raise SetupError(f"{folder / DATA_NAME} cannot be written ({cause}); is the disk full?") from cause
    loose.unlink()
    np.savez(folder / METADATA_NAME, natoms=np.array(n_atoms, dtype=np.int64))


def _record(row: DatabaseRow) -> bytes:
    return _packed(
        {
            **row.fields,
            "cell": np.zeros((3, 3)),
            "pbc": np.zeros(3, dtype=bool),
            "mtime": NO_TIME,
            "key_value_pairs": row.names,
            "data": ROW_DATA,
        }
    )


def _packed(document: Any) -> bytes:
    """A record as ASE's LMDB keeps it: JSON of ASE's kind, compressed."""
    from ase.io.jsonio import encode

    return zlib.compress(encode(document).encode())


def _put(environment: "Environment", records: dict[str, bytes]) -> None:
    """Writes records in one transaction, with a larger map where they do not fit."""
    import lmdb

    while True:
        try:
            with environment.begin(write=True) as transaction:
                for key, record in records.items():
                    transaction.put(key.encode("ascii"), record)
        except lmdb.MapFullError:
            environment.set_mapsize(2 * int(environment.info()["map_size"]))
        else:
            return
