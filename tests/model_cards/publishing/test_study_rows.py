"""From the folder of a study to repos on the Hub: the weights of its records, with their results and cards."""

import json
from pathlib import Path

import pytest

from dataset_builders.core.errors import DataError, UsageError
from dataset_builders.tasks.regions import TaskName
from harness.networks.checkpoint_format import WEIGHTS_FILE, read_config, write_checkpoint
from harness.results.result import RESULT_NAME, RunResult, TaskResult
from harness.study.run_record import RECORDS_NAME, ModelFacts, Number, RunRecord, write_records
from harness.trust.pickles import sha256_of
from model_cards.cli import main
from model_cards.publishing.study_rows import collect_rows, collection_text
from tests.harness.results.test_result import result_of, tasks  # noqa: F401 (a fixture)
from tests.harness.small_checkpoint import write_small_checkpoint
from tests.harness.study.records import record
from tests.loopback_hub import LoopbackHub
from tests.packages import need

need("graph_pes", "the checkpoints need graph-pes")


def add(folder: Path, row: str, task: TaskName, seed: int | None, validation: float, result: RunResult) -> RunRecord:
    """A checkpoint of a study whose weights no other has, its result, and its record."""
    from safetensors.torch import load_file

    name = f"{row}-{task}" + ("" if seed is None else f"-seed{seed}")
    checkpoint = write_small_checkpoint(folder / "work" / "checkpoints" / f"{name}-0123", task)
    tensors = load_file(checkpoint / WEIGHTS_FILE)
    for tensor in tensors.values():
        if tensor.is_floating_point():
            tensor.mul_(1.0 + validation)
    write_checkpoint(checkpoint, read_config(checkpoint), tensors)
    files = {name: sha256_of(checkpoint / name) for name in ("config.json", WEIGHTS_FILE)}
    changes = {"id": str(folder / "work" / "checkpoints" / f"{name}-0123"), "files": files}
    measured = result.model_copy(update={"model": result.model.model_copy(update=changes)})
    measured.save(folder / "work" / "runs" / f"{name}-0123" / "model" / "abcd" / RESULT_NAME)
    facts = ModelFacts(family="graph-pes", files=files, protocol="from-scratch", dtype="float32", device="cpu")
    return record(
        row,
        task,
        0 if seed is None else seed,
        model=facts,
        training={"best_validation": {"validation_force_mae": validation}},
        gap=Number.of(result.tasks[task].gap),
        score=Number.of(result.tasks[task].score),
    ).model_copy(update={"seed": seed})


@pytest.fixture(scope="module")
def study(tasks: dict[TaskName, TaskResult], tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: F811
    """A study of two rows; do not write to it."""
    folder = tmp_path_factory.mktemp("study")
    result = result_of({"task2": tasks["task2"]})
    local = result.dataset.model_copy(update={"id": "/home/ann/editions/mini"})
    result = result.model_copy(update={"dataset": local})
    other = result_of({"task3": tasks["task3"]})
    records = [
        record("zero"),
        add(folder, "painn", "task2", 0, 0.02, result),
        add(folder, "painn", "task2", 1, 0.01, result),
        add(folder, "painn", "task3", 0, 0.03, other),
        add(folder, "sum", "task2", None, 0.04, result),
        record("painn", "task4", 0),
    ]
    write_records(folder / "records", records, {})
    return folder


def weights_of(study: Path, name: str) -> bytes:
    return (study / "work" / "checkpoints" / f"{name}-0123" / WEIGHTS_FILE).read_bytes()


def test_each_row_becomes_a_method_of_its_recorded_weights(study: Path, tmp_path: Path) -> None:
    found = collect_rows(study / "records", study / "work", tmp_path / "rows")
    places = {str(each.folder.relative_to(tmp_path / "rows")): each.is_best for each in found.checkpoints}
    assert places == {
        "painn/task2/seed0": False,
        "painn/task2/seed1": True,
        "painn/task3/seed0": True,
        "sum/task2": True,
    }
    assert found.left_out == ("painn-task4-seed0",)
    for place in ("task2/seed0", "task2/seed1", "task3/seed0"):
        name = f"painn-{place.replace('/', '-')}"
        assert (tmp_path / "rows" / "painn" / place / WEIGHTS_FILE).read_bytes() == weights_of(study, name)


def test_its_card_shows_its_result_and_no_folder_of_this_machine(study: Path, tmp_path: Path) -> None:
    collect_rows(study / "records", study / "work", tmp_path / "rows", ["painn"])
    folder = tmp_path / "rows" / "painn" / "task2" / "seed1"
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "were not measured" not in card
    assert f"$ python -m harness --model {folder} --dataset" in card
    assert f"| `{folder}` | " in card
    assert "Data set `mini`," in card
    assert str(study) not in card
    assert (folder / "mlip-ood-checkpoint.png").is_file()


def test_the_best_is_chosen_by_validation(study: Path, tmp_path: Path) -> None:
    found = collect_rows(study / "records", study / "work", tmp_path, ["painn"], best_only=True)
    assert [str(each.folder.relative_to(tmp_path)) for each in found.checkpoints] == ["painn/task2", "painn/task3"]
    assert (tmp_path / "painn" / "task2" / WEIGHTS_FILE).read_bytes() == weights_of(study, "painn-task2-seed1")


def test_a_result_of_other_numbers_is_not_shown(study: Path, tmp_path: Path) -> None:
    lines = (study / "records" / RECORDS_NAME).read_text(encoding="utf-8").splitlines()
    documents = [json.loads(line) for line in lines]
    (changed,) = [each for each in documents if each["row"] == "sum"]
    changed["gap"]["value"] *= 1.5
    (tmp_path / RECORDS_NAME).write_text("".join(f"{json.dumps(each)}\n" for each in documents), encoding="utf-8")
    collect_rows(tmp_path, study / "work", tmp_path / "rows", ["sum"])
    assert not (tmp_path / "rows" / "sum" / "task2" / RESULT_NAME).exists()
    assert "were not measured" in (tmp_path / "rows" / "sum" / "task2" / "README.md").read_text(encoding="utf-8")


def test_again_is_the_same_and_other_weights_are_refused(study: Path, tmp_path: Path) -> None:
    collect_rows(study / "records", study / "work", tmp_path, ["sum"])
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    collect_rows(study / "records", study / "work", tmp_path, ["sum"])
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    (tmp_path / "sum" / "task2" / WEIGHTS_FILE).write_bytes(b"others")
    with pytest.raises(UsageError, match=r"task2 holds other weights \(sha256 \w{64}; expected \w{64}\); choose"):
        collect_rows(study / "records", study / "work", tmp_path, ["sum"])


def test_what_is_not_there_is_named(study: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--rows zero: not a trained row in .*; its trained rows: painn sum"):
        collect_rows(study / "records", study / "work", tmp_path, ["zero"])
    with pytest.raises(DataError, match=r"checkpoints holds none of the 5 checkpoints that .*runs\.jsonl names; give"):
        collect_rows(study / "records", tmp_path, tmp_path)
    with pytest.raises(DataError, match=r"runs\.jsonl has no trained row; give a folder of records"):
        collect_rows(tmp_path, study / "work", tmp_path)


def test_the_command_says_how_to_publish(study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = tmp_path / "rows"
    assert main(["collect", str(study / "records"), "--work", str(study / "work"), "--out", str(rows)]) == 0
    out = capsys.readouterr().out
    assert f"{rows}/painn/task2/seed1 *" in out
    assert "* smallest validation error of the seeds of a task" in out
    assert "left out, since their weights are not here: painn-task4-seed0" in out
    assert f"python -m model_cards publish {rows}/painn your-org/NAME" in out
    best = rows / "painn" / "task2" / "seed1"
    assert f"python -m model_cards publish {best} your-org/NAME --result {best / RESULT_NAME}" in out


def test_a_seed_alone_has_no_mark(study: Path, tmp_path: Path) -> None:
    assert "*" not in collection_text(collect_rows(study / "records", study / "work", tmp_path, ["sum"]))


def test_both_can_be_published(study: Path, tmp_path: Path, hub: LoopbackHub) -> None:
    collect_rows(study / "records", study / "work", tmp_path, ["painn"])
    hub.add_user("ann", orgs={"compgen": "write"})
    hub.log_in("ann")
    assert main(["publish", str(tmp_path / "painn"), "compgen/painn"]) == 0
    files = hub.files("compgen/painn", "model")
    assert files[f"task2/seed1/{WEIGHTS_FILE}"] == weights_of(study, "painn-task2-seed1")
    assert not [name for name in files if name.endswith(RESULT_NAME)]
    one = tmp_path / "painn" / "task2" / "seed1"
    assert main(["publish", str(one), "compgen/painn-task2", "--result", str(one / RESULT_NAME)]) == 0
    card = hub.files("compgen/painn-task2", "model")["README.md"].decode()
    assert "| `compgen/painn-task2` | " in card
    assert "python -m harness --model compgen/painn-task2 --task task2 --dataset mini" in card
    assert str(tmp_path) not in card
    assert str(study) not in card
