"""ASE databases in LMDB, one folder a split, for fairchem's trainer and MACE's LMDB reader.

`ase_db_backends` is not used for writing: it stores the time, scans the list of all ids for each row
(hours for a million frames), and leaves old memory contents in the file.
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
"""Initial size of the LMDB map in bytes; it is doubled as the data grow."""


def require_lmdb() -> None:
    """Checks that the packages that write and read these files are installed.

    Raises:
        MissingPackageError: If one is missing.
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
        folder: Created; contains the data, and the number of atoms of each frame, which trainers use to fill batches.
        pieces: The rows of the split.

    Raises:
        SetupError: If the disk is full or not writable.
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
            # Packs the pages, so that the file contains only the rows.
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
    """Encodes a record as in ASE's LMDB: compressed JSON in ASE's dialect."""
    from ase.io.jsonio import encode

    return zlib.compress(encode(document).encode())


def _put(environment: "Environment", records: dict[str, bytes]) -> None:
    """Writes records in one transaction, enlarging the map if they do not fit."""
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
