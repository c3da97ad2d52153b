"""One idea of a valid folder: what is certified can be evaluated, and what the harness refuses is not certified."""

import os
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset_builders.core.errors import CertificateError, DataError
from dataset_builders.folder.schema import with_metadata
from dataset_builders.folder.split_files import in_part_order, parts_problem, stated_level
from dataset_builders.publish.published_edition import certified_edition
from dataset_builders.tasks.editions import SPLITS
from dataset_builders.tasks.task_document import read_task_file, task_metadata
from harness.data.dataset import open_dataset
from harness.data.rows import read_split
from tests.dataset_builders.synthetic_folder import METADATA, path_of, rows_of, write_folder

ETHERS = read_task_file(Path(__file__).parents[1] / "ethers.toml")
"""A task of three molecules."""


def part(number, total):
    return f"train-{number:05d}-of-{total:05d}.parquet"


@given(st.integers(1, 120), st.randoms(use_true_random=False))
def test_the_parts_of_a_whole_in_any_order(total, random):
    names = [part(number, total) for number in range(total)]
    shuffled = random.sample(names, total)
    assert parts_problem(shuffled, "train") is None
    assert in_part_order(shuffled) == names


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=5, unique=True))
def test_any_other_set_of_names_is_no_whole(pairs):
    total = pairs[0][1]
    is_whole = sorted(pairs) == [(number, total) for number in range(total)]
    assert (parts_problem([part(*pair) for pair in pairs], "train") is None) == is_whole


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([part(0, 1), part(1, 2)], "found train-00000-of-00001.parquet and train-00001-of-00002.parquet"),
        ([part(0, 1), part(0, 2), part(1, 2)], "expected names with the same total number of files"),
        ([part(0, 2)], "found 1 files; expected 2, as in their names"),
        ([part(0, 3), part(2, 3)], "found 2 files; expected 3, as in their names"),
        ([part(1, 2), part(2, 2)], "the files are numbered 1, 2; expected 0 to 1, each once"),
        ([part(0, 2), "train-0-of-2.parquet"], "the files are numbered 0, 0; expected 0 to 1, each once"),
        ([part(0, 1), "train-old.parquet"], "found train-old.parquet; expected names such as"),
        (["train-00000-of-00001.parquet.parquet"], "expected names such as train-00000-of-00001.parquet"),
        (["train-٠-of-١.parquet"], "expected names such as"),
    ],
)
def test_what_is_wrong_is_said(names, message):
    assert message in parts_problem(names, "train")


def test_the_level_that_metadata_state():
    assert stated_level({"level_of_theory": {"method": "PBE", "basis": "def2-TZVP"}}) == "PBE/def2-TZVP"
    assert [stated_level(each) for each in ({}, {"level_of_theory": "PBE"}, {"level_of_theory": {}})] == ["", "", ""]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("split_files") / "data", ("task4",))


@pytest.fixture
def folder(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "data")


def evaluated(folder):
    """Reads what an evaluation of every task reads."""
    dataset = open_dataset(str(folder))
    return {(task, split): len(read_split(dataset, task, split)) for task in dataset.tasks for split in SPLITS}


def left_over(folder):
    shutil.copy(path_of(folder, "task4", "train"), folder / "task4" / part(1, 2))


def renamed(name):
    def change(folder):
        path_of(folder, "task4", "train").rename(folder / "task4" / name)

    return change


def in_two(first, second):
    """All rows, in two files of these numbers and counts."""

    def change(folder):
        path = path_of(folder, "task4", "train")
        table = pq.read_table(path)
        path.unlink()
        pq.write_table(table.slice(0, 60), path.with_name(part(*first)))
        pq.write_table(table.slice(60), path.with_name(part(*second)))

    return change


def older_whole(folder):
    """The files of a split that was written twice, in other numbers of files."""
    path = path_of(folder, "task4", "train")
    table = pq.read_table(path)
    for number, piece in enumerate((table.slice(0, 60), table.slice(60))):
        pq.write_table(piece, path.with_name(part(number, 2)))


def without_rows(folder):
    path = path_of(folder, "task4", "test_id")
    pq.write_table(pq.read_table(path).slice(0, 0), path)


def without_file(folder):
    path_of(folder, "task4", "validation").unlink()


def without_bytes(folder):
    path_of(folder, "task4", "train").write_bytes(b"")


def other_name_of_split(folder):
    path = path_of(folder, "task4", "validation")
    path.rename(path.with_name(path.name.replace("validation", "dev")))


def beside(**metadata):
    """Another configuration whose files say another thing."""

    def change(folder):
        (folder / "ethers").mkdir()
        schema = with_metadata(METADATA | metadata | task_metadata(ETHERS))
        for split in SPLITS:
            table = pa.Table.from_pylist(rows_of(ETHERS, split), schema=schema)
            pq.write_table(table, path_of(folder, "ethers", split))

    return change


REFUSED = [
    left_over, renamed(part(0, 2)), renamed(part(1, 1)), renamed("train-00000.parquet"), renamed("train-.parquet"),
    in_two((0, 1), (1, 2)), in_two((0, 2), (2, 2)), in_two((0, 3), (1, 3)),
    older_whole, without_rows, without_file, without_bytes, other_name_of_split, beside(edition="5/5/5/05"),
    beside(level_of_theory={"method": "GFN2-xTB", "basis": "minimal"}),
]  # fmt: skip


@pytest.mark.parametrize("change", REFUSED)
def test_what_the_harness_refuses_is_not_certified_or_published(folder, change):
    change(folder)
    with pytest.raises(DataError):
        evaluated(folder)
    with pytest.raises((CertificateError, DataError)):
        certified_edition(folder, "org/name")


def same_file_twice(folder):
    """The files of a configuration under the name of another one."""
    (folder / "task2").symlink_to("task4")


def no_folder_of_a_configuration(folder):
    (folder / "Task1").mkdir()
    shutil.copy(path_of(folder, "task4", "train"), folder / "Task1")


def extra_split(folder):
    shutil.copy(path_of(folder, "task4", "train"), folder / "task4" / "dev-00000-of-00001.parquet")


def empty_row_group(folder):
    path = path_of(folder, "task4", "train")
    table = pq.read_table(path)
    with pq.ParquetWriter(path, table.schema) as writer:
        writer.write_table(table.slice(0, 0))
        writer.write_table(table)


@pytest.mark.parametrize("change", [same_file_twice, no_folder_of_a_configuration, extra_split, empty_row_group])
def test_what_should_not_be_there_is_not_certified(folder, change):
    change(folder)
    with pytest.raises(CertificateError):
        certified_edition(folder, "org/name")


def other_files(folder):
    """What people and programs leave in folders."""
    for name in ("README.md", "task4/notes.txt", "task4/train.csv", ".DS_Store", "task4/.train.parquet.lock"):
        (folder / name).write_text("x")
    for name in ("task1", "task3-pbe", ".task4.partial", "plots"):
        (folder / name).mkdir()
    shutil.copy(path_of(folder, "task4", "train"), folder / ".task4.partial")


def links(folder):
    """As in the cache of the Hub."""
    (folder / "blobs").mkdir()
    for path in list(folder.glob("task*/*.parquet")):
        blob = folder / "blobs" / f"{path.parent.name}-{path.stem}"
        path.rename(blob)
        path.symlink_to(os.path.relpath(blob, path.parent))


def several_files(folder):
    path = path_of(folder, "task4", "train")
    table = pq.read_table(path)
    path.unlink()
    for number in range(11):
        stop = None if number == 10 else 8
        pq.write_table(table.slice(8 * number, stop), path.with_name(part(number, 11)))


@pytest.mark.parametrize("change", [other_files, links, several_files])
def test_what_is_certified_can_be_evaluated(folder, whole, change):
    change(folder)
    assert evaluated(folder) == evaluated(whole)
    # Refuses what is not certified.
    published = certified_edition(folder, "org/name").parquet
    assert {name.rpartition("/")[0] for name in published} == {"task4"}
