"""Rows as they are read, however their files were written."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

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
