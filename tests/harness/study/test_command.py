"""A whole study of a few molecules: what is done, what is not done again, what goes on after a failure or a kill."""

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dataset_builders.core.errors import DataError, SetupError
from harness.cli import main
from harness.data.dataset import open_dataset
from harness.study.jobs import Request
from harness.study.predicted import predicted_task
from harness.study.processes import Processes, child_environment, sole_user
from harness.study.run_record import RECORDS_NAME, read_records
from harness.study.runner import JobFailure, Study
from harness.study.session import do_study, edition_folder, outline
from harness.study.summary import summarise
from harness.study.table_rows import Row, choose_rows
from harness.worker.family_environments import ENVIRONMENTS_VARIABLE

SMALL = Row(
    name="small",
    title="a small PaiNN",
    kind="trained",
    train=("--arch", "PaiNN", "--channels", "4", "--radial-features", "4", "--layers", "1", "--cutoff", "3"),
    seeded=True,
    budgeted=True,
    packages=("graph-pes", "torch"),
)
FAULTY = dataclasses.replace(SMALL, name="faulty", train=("--arch", "nope"))


def study_of(dataset: Path, tmp_path: Path, rows: tuple[Row, ...]) -> Study:
    request = Request(str(dataset), rows, ("task1",), (0,), epochs=1, device="cpu")
    order = {row.name: place for place, row in enumerate(rows)}
    return Study(request, open_dataset(str(dataset)), tmp_path / "work", tmp_path / "out" / "tiny", 2, order)


def run(study: Study) -> tuple[list[str], list[JobFailure]]:
    """Names of the jobs that had to be done, and those that failed."""
    plan = outline(study)
    return [job.name for job in plan.pending], do_study(study, plan, lambda text: None)


def lines_of(study: Study) -> dict[str, str]:
    """The record of each row, as it stands in the file."""
    return {record.row: record.line() for record in read_records(study.results)}


@pytest.fixture(scope="module")
def finished(tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A study of a control and a network; do not write to its folders."""
    study = study_of(tiny_dataset, tmp_path_factory.mktemp("study"), (*choose_rows(["mmff94"]), SMALL))
    assert run(study) == (["mmff94-task1", "small-task1-seed0"], [])
    return study


def copy_of(study: Study, folder: Path) -> Study:
    return dataclasses.replace(
        study,
        work=Path(shutil.copytree(study.work, folder / "work")),
        results=Path(shutil.copytree(study.results, folder / "out" / "tiny")),
    )


def test_what_is_finished_is_not_done_again(finished: Study, tmp_path: Path) -> None:
    study = copy_of(finished, tmp_path)
    lines, report = lines_of(study), (study.results / "README.md").read_bytes()
    assert run(study) == ([], [])
    assert lines_of(study) == lines
    assert (study.results / "README.md").read_bytes() == report
    # Another device or place is no other result; another length of training is.
    moved = dataclasses.replace(study, request=dataclasses.replace(study.request, device="auto"))
    assert outline(moved).pending == ()
    longer = dataclasses.replace(study, request=dataclasses.replace(study.request, epochs=2))
    assert [job.name for job in outline(longer).pending] == ["small-task1-seed0"]
    assert outline(longer).text.startswith("small-task1-seed0: changed: options, time unknown\n")


def test_a_checkpoint_that_is_there_is_not_trained_again(finished: Study, tmp_path: Path) -> None:
    study = copy_of(finished, tmp_path)
    records = study.results / RECORDS_NAME
    control, _ = records.read_text(encoding="utf-8").splitlines(keepends=True)
    records.write_text(control, encoding="utf-8")
    assert run(study) == (["small-task1-seed0"], [])
    _, before = read_records(finished.results)
    _, after = read_records(study.results)
    assert set(before.seconds) == {"train", "predict"}
    assert set(after.seconds) == {"predict"}
    assert (after.model, after.training, after.molecules) == (before.model, before.training, before.molecules)


def test_only_the_data_of_its_own_task_count(finished: Study, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(str(finished.dataset.directory), tmp_path / "data"))
    shutil.copytree(folder / "task1", folder / "task2")
    both = dataclasses.replace(finished, dataset=open_dataset(str(folder)))
    assert both.dataset.content_hash != finished.dataset.content_hash
    assert outline(both).pending == ()
    shutil.copy(
        folder / "task1" / "test_id-00000-of-00001.parquet", folder / "task1" / "test_ood-00000-of-00001.parquet"
    )
    changed = dataclasses.replace(finished, dataset=open_dataset(str(folder)))
    assert "small-task1-seed0: changed: dataset" in outline(changed).text


def test_only_what_changed_is_done_again(finished: Study, tmp_path: Path) -> None:
    control, trained = finished.request.rows
    study = copy_of(finished, tmp_path)
    rows = (dataclasses.replace(control, model="zero"), trained)
    changed = dataclasses.replace(study, request=dataclasses.replace(study.request, rows=rows))
    lines = lines_of(study)
    assert json.loads(lines[control.name])["model"]["family"] == "mmff94"
    assert run(changed) == (["mmff94-task1"], [])
    assert lines_of(changed)[trained.name] == lines[trained.name]
    assert json.loads(lines_of(changed)[control.name])["model"]["family"] == "zero"


def test_a_record_says_what_made_it(finished: Study, tiny_dataset: Path) -> None:
    control, trained = read_records(finished.results)
    # The labels are those of MMFF94.
    assert (control.force_mae["test_ood"].value or 0.0) < 1e-4
    assert trained.commands == (
        "python -m harness train --task task1 --dataset data --device cpu --arch PaiNN --channels 4 "
        "--radial-features 4 --layers 1 --cutoff 3 --epochs 1 --seed 0 --out checkpoints/small-task1-seed0",
        "python -m harness --model checkpoints/small-task1-seed0 --task task1 --dataset data --device cpu "
        "--labels gfn2-xtb --output results",
    )
    assert trained.asked == ("--epochs", "1")
    assert (trained.training["steps"], trained.training["planned_steps"]) == (25, 25)
    assert trained.model.n_parameters is not None
    assert set(trained.model.files) == {"config.json", "model.safetensors"}
    assert trained.dataset.content_hash == finished.content("task1")
    assert [molecule.molecule_id for molecule in trained.molecules["test_ood"]] == ["F-6-H", "OH-6-H"]
    assert len(trained.line()) < 12_000
    for text in (str(finished.work.parent), str(tiny_dataset.parent)):
        assert text not in (finished.results / RECORDS_NAME).read_text()
        assert text not in (finished.results / "README.md").read_text()


def test_a_single_seed_has_the_interval_of_its_evaluation(finished: Study) -> None:
    _, line = summarise(read_records(finished.results))
    (record,) = line.records
    for found, number in (
        (line.force_mae["test_id"], record.force_mae["test_id"]),
        (line.force_mae["test_ood"], record.force_mae["test_ood"]),
        (line.gap, record.gap),
        (line.excess, record.excess),
    ):
        assert found.value == pytest.approx(number.value, rel=1e-4)
        if number.low is None:  # too few fragments
            assert (found.low, found.high) == (None, None)
        else:
            assert (found.low, found.high) == pytest.approx((number.low, number.high), rel=1e-4)


def test_a_job_that_fails_is_tried_again(tiny_dataset: Path, tmp_path: Path) -> None:
    study = study_of(tiny_dataset, tmp_path, (FAULTY,))
    pending, (failure,) = run(study)
    assert pending == ["faulty-task1-seed0"]
    assert failure.job.name == "faulty-task1-seed0"
    assert "ended with exit code 2" in failure.cause
    assert "unknown --arch nope; expected one of painn" in failure.cause
    assert read_records(study.results) == []
    assert [job.name for job in outline(study).pending] == ["faulty-task1-seed0"]


def test_a_failure_is_the_exit_code_and_does_not_stop_the_others(
    tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "ani2x_state_dict.pt"
    broken.write_bytes(b"no weights")
    options = ["--dataset", str(tiny_dataset), "--tasks", "task4", "--model", f"ani2x={broken}"]
    places = ["--work", str(tmp_path / "work"), "--out", str(tmp_path / "out")]
    assert main(["study", *options, *places, "--rows", "ani2x", "zero"]) == 5
    error = capsys.readouterr().err
    assert "[2/2]" in error
    assert (
        "error: 1 of 2 jobs failed; run the same command again to retry them\nani2x-task4: python -m harness" in error
    )
    assert main(["study", *options, *places, "--rows", "zero"]) == 0
    assert "0 of 1 jobs to run" in capsys.readouterr().out


def test_labels_of_another_level_have_a_report_of_their_own(tmp_path: Path) -> None:
    places = ["--work", str(tmp_path / "work"), "--out", str(tmp_path / "out")]
    assert main(["study", "--labels", "wb97x", "--rows", "zero", "--tasks", "task2", *places]) == 0
    (found,) = read_records(tmp_path / "out" / "mini-wb97x")
    assert found.dataset.config("task2") == "task2-wb97x"
    assert "--labels wb97x" in found.commands[0]
    assert "- [mini-wb97x](mini-wb97x/README.md): 1 run of 1 row," in (tmp_path / "out" / "README.md").read_text()


def test_a_plan_does_nothing(
    tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(ENVIRONMENTS_VARIABLE, str(tmp_path / "environments"))
    options = ["--dataset", str(tiny_dataset), "--out", str(tmp_path / "out"), "--work", str(tmp_path / "work")]
    assert main(["study", "--plan", *options, "--rows", "zero", "painn", "ani2x", "zero-shot"]) == 2
    assert "the row ani2x needs a checkpoint: --model ani2x=PATH" in capsys.readouterr().err
    assert main(["study", "--plan", *options, "--rows", "zero", "painn", "zero-shot"]) == 0
    shown = capsys.readouterr().out
    assert "painn-task4-seed2: no record, time unknown\n" in shown
    assert "zero-task1: no record, time unknown\n" in shown
    assert "left out: ani2x (ANI-2x as published); give its checkpoint with --model ani2x=PATH\n" in shown
    assert (
        "left out: so3lr (SO3LR as published); create its environment with: python -m harness env create so3lr\n"
        in shown
    )
    assert "8 of 8 jobs to run, and 8 of unknown length\n" in shown
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--model", "ani2x"], "--model ani2x; expected NAME=PATH"),
        (["--model", "ani2x=/nowhere/x.pt"], "--model ani2x=/nowhere/x.pt: there is no file or folder /nowhere/x.pt"),
        (["--seeds", "0", "-1"], "--seeds 0 -1; expected numbers of 0 or more"),
        (["--model", "big=x.pt"], "--model big=...: no row needs this checkpoint; known names: ani2x"),
        (["--epochs", "0"], "--epochs 0; expected 1 or more"),
        (["--steps", "0"], "--steps 0; expected 1 or more"),
        (["--budget", "5min"], "--budget 5min would make the numbers of a row depend on the load of the machine"),
        (["--jobs", "0"], "--jobs 0; expected 1 or more"),
        (["--rows", "nope"], "unknown row 'nope'"),
        (["--tasks", "task9"], "unknown task 'task9'"),
    ],
)
def test_requests_that_cannot_be_met(options: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["study", *options]) == 2
    assert message in capsys.readouterr().err


def test_reports_alone(finished: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = copy_of(finished, tmp_path)
    report = study.results / "README.md"
    report.unlink()
    assert main(["study", "--report-only", "--out", str(tmp_path / "out")]) == 0
    assert f"report: {report}" in capsys.readouterr().out
    assert report.read_bytes() == (finished.results / "README.md").read_bytes()


@pytest.mark.slow
def test_a_study_that_was_killed_goes_on(tiny_dataset: Path, tmp_path: Path) -> None:
    rows = ["--rows", "zero", "mmff94", "gfn1-xtb", "--dataset", str(tiny_dataset), "--tasks", "task1"]
    places = ["--work", str(tmp_path / "work"), "--out", str(tmp_path)]
    command = [sys.executable, "-m", "harness", "study", *rows, *places]
    records = tmp_path / "tiny" / RECORDS_NAME
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        wait_for(lambda: records.exists() or process.poll() is not None)
        process.send_signal(signal.SIGTERM)
        process.wait()
    assert process.returncode == 130
    first = {record.place: record.line() for record in read_records(records.parent)}
    assert 1 <= len(first) < 3
    # What a killed study left behind may still be at work, and is not disturbed.
    wait_for(lambda: is_free(tmp_path / "work"))
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        wait_for(lambda: "jobs to run" in (process.stdout.readline() if process.stdout else ""))
        process.kill()
        process.wait()
    assert process.returncode == -signal.SIGKILL
    # A job may have ended before the kill; what was recorded earlier stays as it was.
    second = {record.place: record.line() for record in read_records(records.parent)}
    assert first.items() <= second.items()
    wait_for(lambda: is_free(tmp_path / "work"))
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    if len(second) < 3:
        assert f"{3 - len(second)} of 3 jobs to run" in done.stdout
    found = {record.place: record.line() for record in read_records(records.parent)}
    assert len(found) == 3
    assert {place: found[place] for place in second} == second


def wait_for(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60.0
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_free(folder: Path) -> bool:
    try:
        with sole_user(folder):
            return True
    except SetupError:
        return False


def test_a_folder_in_use(tmp_path: Path) -> None:
    message = "is in use by another study, or by a training"
    with sole_user(tmp_path), pytest.raises(SetupError, match=message), sole_user(tmp_path):
        pass
    assert is_free(tmp_path)


def test_a_process_left_behind_keeps_the_folder(tmp_path: Path) -> None:
    with sole_user(tmp_path) as lock:
        left = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=(lock,))
    assert not is_free(tmp_path)
    left.communicate(b"\n")
    assert is_free(tmp_path)


def test_nothing_starts_while_the_study_stops(tmp_path: Path) -> None:
    processes = Processes(child_environment(1))
    processes.stop()
    with pytest.raises(SetupError, match="the study is stopping"):
        processes.run(["--help"], tmp_path / "log")


def test_predictions_of_another_task_or_data_set(finished: Study, own_dataset: Path) -> None:
    result = next((finished.work / "runs").glob("mmff94*/*/*/result.json"))
    assert predicted_task(result.parent, "task1").smiles["OH-2-H"] == "CCO"
    with pytest.raises(DataError, match="contains task1; expected task4 among them"):
        predicted_task(result.parent, "task4")
    (own_dataset / "task4" / "test_ood-00000-of-00001.parquet").write_bytes(
        (own_dataset / "task4" / "test_id-00000-of-00001.parquet").read_bytes()
    )
    with pytest.raises(DataError, match="evaluate the model again"):
        predicted_task(result.parent, "task1", open_dataset(str(own_dataset)))


def test_folders_of_editions() -> None:
    assert [edition_folder(name) for name in ("mini", "100/10/5/10", "..")] == ["mini", "100-10-5-10", "edition"]
    assert os.sep not in edition_folder("a/b")
