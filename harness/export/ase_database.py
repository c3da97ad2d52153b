"""ASE databases as SQLite files, one a split."""

import itertools
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from dataset_builders.core.errors import SetupError
from harness.data.rows import SplitRows
from harness.export.ase_rows import NO_TIME, ROW_DATA, database_rows


def write_ase_database(place: Path, pieces: Iterable[SplitRows]) -> None:
    """Writes a split.

    Args:
        place: The file; its name ends in `.db`.
        pieces: The rows of the split.

    Raises:
        SetupError: If the disk is full or not writable.
    """
    from ase.db import connect
    from ase.db.row import AtomsRow

    try:
        with connect(place, use_lock_file=False) as database:
            for row in itertools.chain.from_iterable(database_rows(pieces)):
                database.write(AtomsRow(row.fields), key_value_pairs=row.names, data=ROW_DATA)
        with closing(sqlite3.connect(place, isolation_level=None)) as connection:
            # ASE stores when a row was changed, and SQLite keeps old page contents, until the file is rebuilt.
            connection.execute("UPDATE systems SET mtime = ?", (NO_TIME,))
            connection.execute("VACUUM")
    except sqlite3.OperationalError as cause:
        raise SetupError(f"{place} cannot be written ({cause}); is the disk full?") from cause
