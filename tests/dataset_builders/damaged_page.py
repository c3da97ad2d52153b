"""Damages a page of a Parquet file, so that its rows can still be read, with other numbers."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq


def damage_page(path: Path, column: str) -> None:
    """Rewrites a file uncompressed, with checksums, and flips one bit of a list column of numbers."""
    table = pq.read_table(path)
    pq.write_table(
        table, path, compression="none", use_dictionary=False, write_statistics=False, write_page_checksum=True
    )
    value = table[column].combine_chunks().flatten()[0]
    part = pa.array([value]).buffers()[1].to_pybytes()
    group = pq.read_metadata(path).row_group(0)
    chunk = group.column(next(i for i in range(group.num_columns) if group.column(i).path_in_schema.startswith(column)))
    content = bytearray(path.read_bytes())
    place = content.index(part, chunk.data_page_offset)
    content[place + len(part) - 2] ^= 1
    path.write_bytes(content)
    damaged = pq.read_table(path)
    assert damaged.schema == table.schema
    assert not damaged.equals(table)
