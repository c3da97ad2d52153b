"""A data set read on the Hub: the same content, the same numbers, no copy here, and an end to every failure."""

import os
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pyarrow.parquet as pq
import pytest
from huggingface_hub import constants
from hypothesis import given
from hypothesis import strategies as st

from dataset_builders.chemistry.levels import LEVELS
from dataset_builders.core.errors import DataError, MlipOodError, SetupError, UsageError
from dataset_builders.core.hub.names import REPO_ID
from harness.cli import main
from harness.data.dataset import PinnedDataset, open_dataset, open_levels
from harness.data.rows import read_split
from harness.evaluation.run import RunOptions, evaluate_again, evaluate_model
from harness.hub import hub_folder
from harness.models.resolve import resolve_model
from harness.results.result import RunResult
from tests.harness.small_dataset import write_level
from tests.harness.toy_potential import Harmonic
from tests.loopback_hub import Fault, LoopbackHub

ADDRESS = "hf://datasets/org/name"


def files_in(directory: Path) -> dict[str, bytes]:
    return {path.relative_to(directory).as_posix(): path.read_bytes() for path in directory.rglob("*.parquet")}


@pytest.fixture
def commit(hub: LoopbackHub, tiny_dataset: Path) -> str:
    return hub.add_repo("org/name", "dataset", {**files_in(tiny_dataset), "README.md": b"# Data\n"})


def downloads(hub: LoopbackHub) -> list[int | None]:
    return [request.status for request in hub.log if request.method == "GET" and "/resolve/" in request.path]


def test_the_content_is_that_of_a_copy(hub: LoopbackHub, commit: str, tiny_dataset: Path) -> None:
    pinned, copy = open_dataset(ADDRESS), open_dataset("org/name")
    local = open_dataset(str(tiny_dataset))
    assert pinned.content_hash == copy.content_hash == local.content_hash
    assert replace(pinned, directory=copy.directory) == copy
    assert (pinned.id, pinned.revision, pinned.tasks) == ("org/name", commit, ("task1", "task4"))
    assert str(pinned.directory) == f"{ADDRESS}@{commit}"
    assert open_dataset(str(pinned.directory)) == pinned


def test_the_content_hash_of_large_files_is_known_without_reading_them(hub: LoopbackHub, commit: str) -> None:
    open_dataset(ADDRESS)
    assert set(downloads(hub)) == {206}
    asked = len(downloads(hub))
    assert asked <= 2 * 8  # the schema at the end of each of eight files


def test_files_outside_of_large_file_storage_are_hashed_by_reading_them(
    hub: LoopbackHub, tiny_dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.loopback_hub.hub.goes_up_by_lfs", lambda *_: False)
    hub.add_repo("org/plain", "dataset", files_in(tiny_dataset))
    pinned = open_dataset("hf://datasets/org/plain")
    assert {file.sha256 for file in pinned.directory.stored.values()} == {None}  # type: ignore[union-attr]
    assert pinned.content_hash == open_dataset(str(tiny_dataset)).content_hash


@pytest.mark.parametrize("ahead", [1, 1000, hub_folder.READ_AHEAD])
def test_rows_are_those_of_a_copy(
    hub: LoopbackHub, commit: str, tiny_dataset: Path, ahead: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_folder, "READ_AHEAD", ahead)
    there, here = (read_split(open_dataset(each), "task4", "test_ood") for each in (ADDRESS, str(tiny_dataset)))
    for name in ("molecule_id", "frame", "n_atoms", "positions", "energy", "forces"):
        assert getattr(there, name).tobytes() == getattr(here, name).tobytes() or name == "molecule_id"
    assert there.molecule_id.tolist() == here.molecule_id.tolist()


def test_numbers_are_those_of_a_copy(hub: LoopbackHub, commit: str, tiny_dataset: Path, tmp_path: Path) -> None:
    runs = [
        evaluate_model(resolve_model("mmff94"), open_dataset(text), RunOptions(output=tmp_path / name, quiet=True))
        for text, name in ((ADDRESS, "there"), ("org/name", "copy"), (str(tiny_dataset), "here"))
    ]
    there, copy, here = (run for run in runs if run is not None)
    assert there.directory.name == copy.directory.name == here.directory.name
    assert there.result.model_dump_json(include={"tasks"}) == here.result.model_dump_json(include={"tasks"})
    assert there.result.model_dump(exclude={"created", "cost"}) == copy.result.model_dump(exclude={"created", "cost"})
    assert evaluate_again(there.directory).result == there.result


def test_nothing_is_kept_on_this_disk(hub: LoopbackHub, commit: str, tmp_path: Path) -> None:
    evaluate_model(resolve_model("zero"), open_dataset(ADDRESS), RunOptions(output=tmp_path, quiet=True))
    assert not list(Path(constants.HF_HUB_CACHE).rglob("*.parquet"))
    assert set(downloads(hub)) == {206}


def test_a_revision_is_pinned(hub: LoopbackHub, commit: str) -> None:
    hub.commit("org/name", "dataset", {}, deletions=["task1/train-00000-of-00001.parquet"], message="Spoil it")
    assert open_dataset(f"{ADDRESS}@{commit}").revision == commit
    with pytest.raises(DataError, match=r"hf://datasets/org/name@[0-9a-f]{40}/task1 has no file train-\*\.parquet"):
        open_dataset(f"{ADDRESS}@main")


def test_levels_are_found_and_pinned(hub: LoopbackHub, own_dataset: Path) -> None:
    write_level(own_dataset, LEVELS["wb97x"], ["task1"], {"train": 1, "validation": 0, "test_id": 2, "test_ood": 2})
    hub.add_repo("org/name", "dataset", files_in(own_dataset))
    assert [each.content_hash for each in open_levels(ADDRESS)] == [
        each.content_hash for each in open_levels(str(own_dataset))
    ]


def test_the_token_is_kept_while_the_environment_holds_none(
    hub: LoopbackHub, tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add_user("ann", orgs={"org": "read"})
    hub.log_in("ann")
    hub.add_repo("org/name", "dataset", files_in(tiny_dataset), private=True)
    seen: list[bool] = []
    potential = Harmonic(before=lambda batch: seen.append("HF_TOKEN" in os.environ))
    monkeypatch.setattr("harness.worker.loading.load_potential", lambda model, options: potential)
    evaluate_model(resolve_model("zero"), open_dataset(ADDRESS), RunOptions(output=tmp_path, quiet=True))
    assert seen
    assert not any(seen)
    assert {request.user for request in hub.log} == {"ann"}


@pytest.mark.parametrize(
    ("address", "error", "message"),
    [
        ("hf://org/name", UsageError, r"data set 'hf://org/name'; expected hf://datasets/org/name\[@revision\]"),
        ("hf://datasets/org/name/task1", UsageError, r"expected hf://datasets/org/name\[@revision\]"),
        (
            "hf://datasets/org/nothing",
            DataError,
            "no data set org/nothing on the Hub .* --dataset org/nothing downloads",
        ),
        ("hf://datasets/org/name@v9", DataError, "data set org/name has no revision 'v9'"),
        ("hf://datasets/org/name@refs%2Fpr%2F9", DataError, "data set org/name has no revision 'refs/pr/9'"),
        ("hf://datasets/org/gated", SetupError, "data set org/gated is gated; accept its conditions at"),
    ],
)
def test_what_cannot_be_read_is_explained(
    hub: LoopbackHub, commit: str, address: str, error: type[MlipOodError], message: str
) -> None:
    hub.add_user("ann")
    hub.log_in("ann")
    hub.add_repo("org/gated", "dataset", {"task1/train-00000-of-00001.parquet": b"x" * 20_000_000}, gated=True)
    with pytest.raises(error, match=message):
        open_dataset(address)


@given(st.from_regex(REPO_ID, fullmatch=True).map(lambda repo: repo.partition("/")[2]), st.text(min_size=1))
def test_an_address_holds_id_and_revision(name: str, revision: str) -> None:
    address = f"hf://datasets/org/{name}"
    assert hub_folder.parse_hub_address(address) == (f"org/{name}", None)
    assert hub_folder.parse_hub_address(f"{address}@{quote(revision, safe='')}") == (f"org/{name}", revision)
    assert hub_folder.parse_hub_address(f"{address}@refs/pr/7") == (f"org/{name}", "refs/pr/7")


@given(st.text())
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"expected hf://datasets/org/name\[@revision\]"):
        hub_folder.parse_hub_address(f"hf://{text}")


def test_offline_nothing_can_be_read_there(hub: LoopbackHub, commit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(SetupError, match="HF_HUB_OFFLINE is set; unset it; --dataset org/name downloads the data set"):
        open_dataset(ADDRESS)


def test_a_damaged_file_is_named(hub: LoopbackHub, tiny_dataset: Path) -> None:
    files = files_in(tiny_dataset)
    files["task1/test_id-00000-of-00001.parquet"] = files["task1/test_id-00000-of-00001.parquet"][:-40]
    hub.add_repo("org/name", "dataset", files)
    message = r"task1/test_id-00000-of-00001\.parquet cannot be read as Parquet .* tell the owner of data set org/name"
    with pytest.raises(DataError, match=message):
        open_dataset(ADDRESS)


def test_a_row_that_breaks_the_schema_is_named(hub: LoopbackHub, own_dataset: Path) -> None:
    path = own_dataset / "task1" / "test_id-00000-of-00001.parquet"
    table = pq.read_table(path)
    place = table.schema.get_field_index("energy")
    pq.write_table(table.set_column(place, table.schema.field(place), [[float("nan")] * len(table)]), path)
    hub.add_repo("org/name", "dataset", files_in(own_dataset))
    with pytest.raises(DataError, match=r"hf://datasets/.*parquet row 0 .*energy is nan.*tell the owner of data set"):
        read_split(open_dataset(ADDRESS), "task1", "test_id")


@pytest.fixture
def dataset(hub: LoopbackHub, commit: str) -> PinnedDataset:
    return open_dataset(ADDRESS)


def test_a_connection_that_drops_is_taken_up_again(
    hub: LoopbackHub, dataset: PinnedDataset, tiny_dataset: Path, no_waiting: list[float]
) -> None:
    hub.order(Fault(method="GET", path="/resolve/", truncate=500, times=3))
    hub.order(Fault(method="GET", path="/resolve/", status=503))
    rows = read_split(dataset, "task4", "test_id")
    assert (
        rows.positions.tobytes() == read_split(open_dataset(str(tiny_dataset)), "task4", "test_id").positions.tobytes()
    )
    assert len(no_waiting) == 4


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (
            Fault(method="GET", path="/resolve/", truncate=500, times=999),
            "cannot be fetched from the Hub: .* the same comm",
        ),
        (
            Fault(method="GET", path="/resolve/", cut=True, times=999),
            "cannot be fetched from the Hub: .* the same command",
        ),
        (
            Fault(method="GET", path="/resolve/", status=500, times=999),
            "the Hub failed on .* status 500.* the same com",
        ),
        (Fault(method="GET", path="/resolve/", status=404, times=999), "there is no data set|lacks a file|failed on"),
    ],
)
def test_a_hub_that_stays_away_is_an_error_after_some_tries(
    hub: LoopbackHub, dataset: PinnedDataset, no_waiting: list[float], fault: Fault, message: str
) -> None:
    hub.order(fault)
    with pytest.raises(MlipOodError, match=message):
        read_split(dataset, "task4", "test_id")
    assert len(no_waiting) <= 5


def test_a_run_that_lost_the_hub_goes_on(
    hub: LoopbackHub,
    commit: str,
    tmp_path: Path,
    no_waiting: list[float],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("harness.inference.batching.STRUCTURES_PER_SHARD", 8)
    monkeypatch.setattr("harness.inference.batching.ATOMS_PER_WINDOW", 300)
    computed: list[int] = []
    potential = Harmonic(before=lambda batch: computed.append(batch.n_structures))
    monkeypatch.setattr("harness.worker.loading.load_potential", lambda model, options: potential)

    def run(output: str) -> int:
        options = ["--output", str(tmp_path / output), "--quiet", "--batch-atoms", "64"]
        return main(["--model", "zero", "--dataset", ADDRESS, *options])

    assert run("whole") == 0
    n_structures = sum(computed)
    computed.clear()
    # Each of the small files takes one call: eight are pinned, six are scanned, and of six geometries are read.
    assert len(downloads(hub)) == 8 + 6 + 6 + 6
    hub.order(Fault(method="GET", path="/resolve/", cut=True, after=8 + 6 + 4, times=6))
    assert run("lost") == 6
    said = " ".join(capsys.readouterr().err.split())
    assert "data set org/name cannot be fetched from the Hub" in said
    assert "finished predictions are kept, and the same command resumes from them" in said
    kept = sum(pq.read_metadata(path).num_rows for path in tmp_path.glob("lost/*/*/predictions/*.parquet"))
    assert 0 < kept < n_structures
    computed.clear()
    assert run("lost") == 0
    assert sum(computed) == n_structures - kept
    whole, lost = (RunResult.load(next(tmp_path.glob(f"{name}/*/*/result.json"))) for name in ("whole", "lost"))
    assert lost.model_dump(exclude={"created", "cost"}) == whole.model_dump(exclude={"created", "cost"})


@pytest.mark.parametrize(
    "command",
    [
        ["train", "--arch", "additive", "--task", "task1", "--dataset", f"{ADDRESS}@v1"],
        ["study", "--dataset", f"{ADDRESS}@v1"],
    ],
)
def test_training_wants_a_copy(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command) == 2
    assert "use --dataset org/name@v1, which downloads" in " ".join(capsys.readouterr().err.split())
