"""Rows as they are read, however their files were written."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset_builders.core.errors import DataError
from harness.data.dataset import open_dataset
from harness.data.rows import SplitRows, read_split, stream_split
from harness.data.scan import scan_splits
from tests.harness.small_dataset import write_dataset

SPLIT = "test_ood"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pa.Table]:
    """A data set, and the rows of the split that is written anew."""
    folder = write_dataset(tmp_path_factory.mktemp("rows"))
    return folder, pq.read_table(folder / "task1" / f"{SPLIT}-00000-of-00001.parquet")


def write(folder: Path, parts: list[pa.Table], **how: object) -> None:
    for old in (folder / "task1").glob(f"{SPLIT}-*.parquet"):
        old.unlink()
    for number, part in enumerate(parts):
        pq.write_table(part, folder / "task1" / f"{SPLIT}-{number:05}-of-{len(parts):05}.parquet", **how)


def same(rows: SplitRows, table: pa.Table) -> None:
    """Rows as arrays are those of the table, converted by Arrow alone."""
    for name in ("molecule_id", "smiles", "trajectory", "frame", "n_atoms", "energy"):
        assert list(getattr(rows, name)) == table[name].to_pylist(), name
    for name in ("atomic_numbers", "positions", "forces"):
        flat = [number for row in table[name].to_pylist() for number in row]
        np.testing.assert_array_equal(np.ravel(getattr(rows, name)), np.array(flat, np.float32), err_msg=name)


@given(
    cuts=st.lists(st.integers(0, 30), max_size=3),
    group=st.sampled_from([1, 3, 1000]),
    compression=st.sampled_from(["none", "snappy", "zstd", "gzip"]),
    use_dictionary=st.booleans(),
    page=st.sampled_from(["1.0", "2.0"]),
)
def test_files_and_encodings_do_not_matter(
    data: tuple[Path, pa.Table], cuts: list[int], group: int, compression: str, use_dictionary: bool, page: str
) -> None:
    """Any number of files, row groups, compressions and page versions give the same rows in the same order."""
    folder, table = data
    bounds = sorted({0, table.num_rows, *(min(cut, table.num_rows) for cut in cuts)})
    parts = [table.slice(start, stop - start) for start, stop in pairwise(bounds)]
    how = {"row_group_size": group, "compression": compression, "use_dictionary": use_dictionary}
    write(folder, parts, data_page_version=page, **how)
    dataset = open_dataset(str(folder))
    same(read_split(dataset, "task1", SPLIT), table)


@given(order=st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_change_the_frames_of_a_scan(data: tuple[Path, pa.Table], order: object) -> None:
    folder, table = data
    places = list(range(table.num_rows))
    order.shuffle(places)  # type: ignore[attr-defined]
    scans = []
    for rows in (table, table.take(places)):
        write(folder, [rows])
        dataset = open_dataset(str(folder))
        scans.append(scan_splits({("task1", SPLIT): stream_split(dataset, "task1", SPLIT)}))
    first, second = scans
    assert first.molecules == second.molecules
    assert set(first.keys) == set(second.keys)
    np.testing.assert_array_equal(
        first.keys[first.rows["task1", SPLIT]][places], second.keys[second.rows["task1", SPLIT]]
    )


@pytest.mark.parametrize("name", ["molecule_id", "smiles", "left", "right", "trajectory"])
def test_text_that_is_not_utf8_is_one_error(data: tuple[Path, pa.Table], name: str) -> None:
    """Arrow writes and reads such bytes as text without a look at them."""
    folder, table = data
    place = table.schema.get_field_index(name)
    array = table.column(place).combine_chunks()
    _, offsets, content = (array.chunk(0) if isinstance(array, pa.ChunkedArray) else array).buffers()
    damaged = pa.py_buffer(b"\xff" + content.to_pybytes()[1:])
    column = pa.StringArray.from_buffers(table.num_rows, offsets, damaged)
    write(folder, [table.set_column(place, table.schema.field(place), column)])
    with pytest.raises(DataError, match=r"cannot be read as Parquet \('utf-8' codec can't decode byte 0xff"):
        read_split(open_dataset(str(folder)), "task1", SPLIT)


def test_long_text_of_a_row_is_cut_in_messages(data: tuple[Path, pa.Table]) -> None:
    folder, table = data
    rows = table.to_pylist()
    rows[1] |= {"subset": "y" * 100_000, "molecule_id": "z\x1b" * 50_000}
    write(folder, [pa.Table.from_pylist(rows, schema=table.schema)])
    with pytest.raises(DataError, match=r"row 1 \(molecule_id (z\ufffd){30}…, .* subset is y{60}…; expected near"):
        read_split(open_dataset(str(folder)), "task1", SPLIT)
