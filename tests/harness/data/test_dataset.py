import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from huggingface_hub import constants

from dataset_builders.core.errors import DataError, MlipOodError, SetupError, UsageError
from harness.data.dataset import open_dataset
from harness.data.rows import concatenated, read_split, stream_reference_rows
from tests.harness.small_dataset import METADATA, TRAIN, write_dataset, write_split
from tests.loopback_hub import Fault, LoopbackHub


def test_a_folder_is_pinned_by_its_content(tiny_dataset: Path, tmp_path: Path) -> None:
    pinned = open_dataset(str(tiny_dataset))
    assert (pinned.edition, pinned.level_of_theory, pinned.revision) == ("tiny", "MMFF94", None)
    assert pinned.tasks == ("task1", "task4")
    copy = Path(shutil.copytree(tiny_dataset, tmp_path / "copy"))
    (copy / "README.md").write_text("no part of the content")
    assert open_dataset(str(copy)).content_hash == pinned.content_hash
    (copy / "task4/test_ood-00000-of-00001.parquet").write_bytes(
        (copy / "task1/test_ood-00000-of-00001.parquet").read_bytes()
    )
    assert open_dataset(str(copy)).content_hash != pinned.content_hash


def test_rows_are_those_that_were_written(tiny_dataset: Path) -> None:
    rows = read_split(open_dataset(str(tiny_dataset)), "task1", "test_id")
    written = pq.read_table(tiny_dataset / "task1" / "test_id-00000-of-00001.parquet").to_pylist()
    assert len(rows) == len(written) == 10 * len(TRAIN["task1"])
    assert rows.molecule_id.tolist() == [row["molecule_id"] for row in written]
    assert rows.frame.tolist() == [row["frame"] for row in written]
    assert rows.energy.tolist() == [row["energy"] for row in written]
    assert rows.atomic_numbers.tolist() == [number for row in written for number in row["atomic_numbers"]]
    for row, start, stop in zip(written, rows.offsets[:-1], rows.offsets[1:], strict=True):
        assert rows.positions[start:stop].ravel().tolist() == row["positions"]
        assert rows.forces[start:stop].ravel().tolist() == row["forces"]


def test_rows_do_not_depend_on_how_they_are_batched(tiny_dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = open_dataset(str(tiny_dataset))
    whole = read_split(dataset, "task4", "test_ood")
    monkeypatch.setattr("harness.data.rows.ROWS_PER_BATCH", 3)
    pieces = read_split(dataset, "task4", "test_ood")
    assert np.array_equal(whole.positions, pieces.positions)
    assert np.array_equal(whole.molecule_id, pieces.molecule_id)


def test_reference_rows_are_the_first_frames_of_the_first_five_bursts(tiny_dataset: Path) -> None:
    rows = concatenated(list(stream_reference_rows(open_dataset(str(tiny_dataset)), "task1")))
    for molecule_id in TRAIN["task1"]:
        assert rows.frame[rows.molecule_id == molecule_id].tolist() == [0, 5, 10, 15, 20]
    assert rows.n_atoms.sum() == len(rows.positions) == len(rows.atomic_numbers)


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("nowhere", DataError, r"no data-set folder 'nowhere'; expected `mini`, an existing folder, or a Hub id"),
        ("./no/where", DataError, "no data-set folder './no/where'"),
        (__file__, UsageError, "is a file; expected the folder that contains task1"),
        (
            str(Path(__file__).parent),
            DataError,
            "is not a data-set folder: it contains none of task1 task2 task3 task4",
        ),
    ],
)
def test_what_is_no_data_set_is_refused(text: str, error: type[MlipOodError], message: str) -> None:
    with pytest.raises(error, match=message):
        open_dataset(text)


def test_an_absent_split_is_named(own_dataset: Path) -> None:
    next((own_dataset / "task1").glob("test_ood-*")).unlink()
    with pytest.raises(DataError, match=r"task1 has no file test_ood-\*\.parquet; expected the splits train"):
        open_dataset(str(own_dataset))


def test_an_absent_task_is_named(tiny_dataset: Path) -> None:
    with pytest.raises(DataError, match="has no task2; its tasks: task1 task4"):
        read_split(open_dataset(str(tiny_dataset)), "task2", "test_id")


def test_an_absent_part_of_a_split_is_noticed(own_dataset: Path) -> None:
    part = own_dataset / "task1" / "train-00000-of-00001.parquet"
    part.rename(part.with_name("train-00000-of-00002.parquet"))
    with pytest.raises(
        DataError, match=r"train of task1 in .* is incomplete: found 1 files; expected 2, as in their names"
    ):
        open_dataset(str(own_dataset))


def test_a_file_that_is_no_parquet_is_named(own_dataset: Path) -> None:
    path = own_dataset / "task1" / "test_id-00000-of-00001.parquet"
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DataError, match=r"test_id-00000-of-00001\.parquet cannot be read as Parquet .* delete it"):
        open_dataset(str(own_dataset))


def test_the_name_of_a_column_that_is_not_utf8_is_reported(tiny_dataset: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(tiny_dataset, tmp_path / "copy"))
    path = next((copy / "task1").glob("test_id-*.parquet"))
    path.write_bytes(path.read_bytes().replace(b"molecule_id", b"molecule_\xf4d"))
    with pytest.raises(DataError, match=r"test_id-00000-of-00001\.parquet cannot be read as Parquet \('utf-8' codec"):
        open_dataset(str(copy))


def test_a_damaged_page_is_noticed(own_dataset: Path) -> None:
    path = own_dataset / "task1" / "test_id-00000-of-00001.parquet"
    dataset = open_dataset(str(own_dataset))
    content = bytearray(path.read_bytes())
    content[len(content) // 4 : len(content) // 2] = b"\xff" * (len(content) // 2 - len(content) // 4)
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"test_id-00000-of-00001\.parquet"):
        read_split(dataset, "task1", "test_id")


def test_files_of_two_editions_are_refused(own_dataset: Path) -> None:
    path = own_dataset / "task4" / "train-00000-of-00001.parquet"
    write_split(own_dataset, "task4", "train", pq.read_table(path), METADATA | {"edition": "full"})
    with pytest.raises(DataError, match=r"disagree on the edition: .*train.* states 'full', others state 'tiny'"):
        open_dataset(str(own_dataset))


def test_basis_and_method_make_the_level_of_theory(tmp_path: Path) -> None:
    level = {"method": "PBE-D3(BJ)", "basis": "def2-TZVP", "program": "x"}
    directory = write_dataset(tmp_path / "pbe", {"edition": "tiny", "level_of_theory": level})
    assert open_dataset(str(directory)).level_of_theory == "PBE-D3(BJ)/def2-TZVP"


def replaced(name: str, values: Callable[[list[Any]], list[Any]]) -> Callable[[pa.Table], pa.Table]:
    def change(table: pa.Table) -> pa.Table:
        index = table.schema.get_field_index(name)
        return table.set_column(
            index, table.schema.field(index), pa.array(values(table[name].to_pylist()), table.schema.field(index).type)
        )

    return change


def at_row_three(value: Callable[[Any], Any]) -> Callable[[list[Any]], list[Any]]:
    return lambda values: [*values[:3], value(values[3]), *values[4:]]


BROKEN_ROW = r"test_id-00000-of-00001\.parquet row 3 \(molecule_id H-2-H, secondary frame 8\): "


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.drop_columns(["forces"]), r"column 'forces' is missing \(expected list"),
        (replaced("energy", at_row_three(lambda _: float("nan"))), BROKEN_ROW + "energy is nan; expected a finite"),
        (replaced("energy", at_row_three(lambda _: None)), BROKEN_ROW + "energy is null; expected a value"),
        (replaced("n_atoms", at_row_three(lambda _: 0)), BROKEN_ROW + "n_atoms is 0; expected 1 or more"),
        (
            replaced("forces", at_row_three(lambda forces: forces[:-1])),
            BROKEN_ROW + "length of forces is 23; expected 3 x n_atoms",
        ),
        (
            replaced("atomic_numbers", at_row_three(lambda numbers: [*numbers, 1])),
            BROKEN_ROW + "length of atomic_numbers is 9; expected 1 x n_atoms",
        ),
        (
            replaced("positions", at_row_three(lambda positions: [*positions[:7], float("inf"), *positions[8:]])),
            BROKEN_ROW + r"positions of atom 2 is \[.*inf.*\]; expected finite numbers",
        ),
        (
            replaced("positions", at_row_three(lambda positions: [None, *positions[1:]])),
            BROKEN_ROW + "an item of positions is null",
        ),
        (
            replaced("atomic_numbers", at_row_three(lambda numbers: [*numbers[:-1], 0])),
            BROKEN_ROW + "atomic number of atom 7 is 0; expected 1 to 118",
        ),
        (replaced("trajectory", at_row_three(lambda _: "third")), "trajectory is third; expected primary or secondary"),
        (replaced("subset", at_row_three(lambda _: "middle")), "subset is middle; expected near, far or empty"),
        (replaced("frame", at_row_three(lambda _: -1)), "frame is -1; expected 0 or more"),
        (replaced("frame", at_row_three(lambda frame: frame - 1)), "secondary frame 7 of H-2-H more than once"),
        (lambda table: table.slice(0, 0), "test_id of task1 in .* has no usable rows"),
    ],
)
def test_a_row_that_breaks_the_schema_is_named(
    own_dataset: Path, change: Callable[[pa.Table], pa.Table], message: str
) -> None:
    dataset = open_dataset(str(own_dataset))
    path = own_dataset / "task1" / "test_id-00000-of-00001.parquet"
    pq.write_table(change(pq.read_table(path)), path)
    with pytest.raises(DataError, match=message):
        read_split(dataset, "task1", "test_id")


def test_a_row_is_named_by_its_place_in_the_file(own_dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.data.rows.ROWS_PER_BATCH", 2)
    dataset = open_dataset(str(own_dataset))
    path = own_dataset / "task1" / "test_id-00000-of-00001.parquet"
    pq.write_table(replaced("energy", at_row_three(lambda _: float("inf")))(pq.read_table(path)), path)
    with pytest.raises(DataError, match=BROKEN_ROW + "energy is inf"):
        read_split(dataset, "task1", "test_id")


@pytest.fixture
def commit(hub: LoopbackHub, tiny_dataset: Path) -> str:
    """A repo that holds the data set, a card and a file of no use; gives its commit."""
    files = {path.relative_to(tiny_dataset).as_posix(): path.read_bytes() for path in tiny_dataset.rglob("*.parquet")}
    return hub.add_repo("org/name", "dataset", {**files, "README.md": b"# Data\n", "notes/plan.txt": b"later"})


def test_a_hub_id_is_resolved_to_a_commit(hub: LoopbackHub, commit: str, tiny_dataset: Path) -> None:
    hub.commit("org/name", "dataset", {}, deletions=["task1/train-00000-of-00001.parquet"], message="Spoil it")
    assert hub.history("org/name", "dataset")[0].sha != commit
    with pytest.raises(DataError, match=r"task1 has no file train-\*\.parquet"):
        open_dataset("org/name")
    pinned = open_dataset(f"org/name@{commit}")
    assert (pinned.id, pinned.revision) == ("org/name", commit)
    assert pinned.content_hash == open_dataset(str(tiny_dataset)).content_hash
    assert not (pinned.directory / "notes").exists()


@pytest.mark.parametrize("revision", ["", "@main"])
def test_the_head_of_a_branch_is_pinned(hub: LoopbackHub, commit: str, revision: str) -> None:
    assert open_dataset(f"org/name{revision}").revision == commit


def test_a_commit_is_not_looked_up(
    hub: LoopbackHub, commit: str, tiny_dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = open_dataset(f"org/name@{commit}")
    requests = len(hub.log)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert open_dataset(f"org/name@{commit}") == first
    assert len(hub.log) == requests


def test_offline_a_branch_cannot_be_looked_up(hub: LoopbackHub, commit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    message = r"HF_HUB_OFFLINE is set\. Unset it, or pin a commit .* \(org/name@COMMIT\); there is no folder 'org/name'"
    with pytest.raises(SetupError, match=message):
        open_dataset("org/name")
    with pytest.raises(SetupError, match=r"local cache lacks some of its files .* `--dataset mini` needs no network"):
        open_dataset(f"org/name@{commit}")


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        (
            "org/nothing",
            DataError,
            "no data set org/nothing on the Hub that you may read; .* no folder 'org/nothing' here either",
        ),
        (
            "org/private",
            DataError,
            "no data set org/private on the Hub .* log in with `hf auth login` if it is private",
        ),
        (
            "org/gated",
            SetupError,
            r"data set org/gated is gated; accept its conditions at http://.*/datasets/org/gated",
        ),
        ("org/name@v9", DataError, "data set org/name has no revision 'v9'; its branches, tags and commits: http"),
        ("org/na--me", UsageError, "'org/na--me' is not an id on the Hub .* expected org/name"),
    ],
)
def test_what_the_hub_refuses_is_explained(
    hub: LoopbackHub, commit: str, text: str, error: type[MlipOodError], message: str
) -> None:
    hub.add_user("ann")
    hub.add_repo("org/private", "dataset", private=True)
    hub.add_repo("org/gated", "dataset", {"task1/train-00000-of-00001.parquet": b"x"}, gated=True)
    hub.log_in("ann")
    with pytest.raises(error, match=message) as caught:
        open_dataset(text)
    assert type(caught.value) is error


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (
            Fault(cut=True, times=999),
            r"cannot be fetched from the Hub: .* Check the network and try again; .* `--dataset",
        ),
        (
            Fault(status=500, times=999),
            "the Hub failed on data set org/name with status 500: .* and `--dataset mini`",
        ),
        (
            Fault(status=429, times=999),
            "the Hub limits the rate of requests to data set org/name .* try again later, or log in",
        ),
    ],
)
def test_a_hub_that_does_not_answer_is_explained(
    hub: LoopbackHub, commit: str, no_waiting: list[float], fault: Fault, message: str
) -> None:
    hub.order(fault)
    with pytest.raises(SetupError, match=message):
        open_dataset("org/name")
    assert no_waiting == [1, 2, 4, 8]


def test_a_hub_that_stumbles_is_asked_again(hub: LoopbackHub, commit: str, no_waiting: list[float]) -> None:
    hub.order(Fault(path="/api/datasets/", status=503, times=2))
    hub.order(Fault(method="GET", path="/resolve/", truncate=100, times=3))
    assert open_dataset("org/name").revision == commit
    assert no_waiting[:2] == [1, 2]


@pytest.mark.parametrize("place", [-1, 200])
def test_a_file_that_was_damaged_on_its_way_is_removed_and_downloaded_again(
    hub: LoopbackHub, commit: str, place: int
) -> None:
    """A bit of the last byte is seen by Parquet, one of the data by the hash alone, as it is no page that is read."""
    whole = open_dataset("org/name")
    (first, *_) = sorted(Path(str(whole.directory)).glob("task1/*.parquet"))
    blob = first.resolve()
    content = bytearray(blob.read_bytes())
    content[place] ^= 1
    blob.write_bytes(content)
    with pytest.raises(DataError, match="it was removed from the cache: run the same command again"):
        open_dataset("org/name")
    assert not blob.exists()
    assert open_dataset("org/name").content_hash == whole.content_hash


def test_a_full_disk_is_explained(hub: LoopbackHub, commit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    with pytest.raises(SetupError, match=r"No space left on device.*is not full"):
        open_dataset("org/name")
