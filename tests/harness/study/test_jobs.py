from dataclasses import replace
from pathlib import Path

import pytest

from dataset_builders.chemistry.levels import find_level
from dataset_builders.core.errors import SetupError, UsageError
from harness.study import jobs
from harness.study.jobs import (
    Job,
    Places,
    Request,
    asked_of,
    changes,
    commands,
    identity_of,
    missing_checkpoints,
    missing_environments,
    plan_jobs,
    train_options,
)
from harness.study.table_rows import ROWS, Row, choose_rows
from harness.worker.family_environments import ENVIRONMENTS_VARIABLE, Environment
from tests.harness.study.records import CONTENT, record

CONTROL = Row("zero", "nothing", "control", model="zero")
NETWORK = Row("small", "a network", "trained", train=("--arch", "PaiNN"), seeded=True, budgeted=True)
ZERO_SHOT = Row("big", "a checkpoint", "zero-shot", model="big")
TUNED = Row("tuned", "a checkpoint", "fine-tuned", model="big", train=("--layers", "1"), seeded=True, budgeted=True)
REQUEST = Request("mini", (CONTROL, NETWORK, ZERO_SHOT, TUNED), ("task1", "task2"), (0, 1), epochs=5)
PLACES = Places("mini", "checkpoints/x", "results", None)


def test_a_study_cut_short_has_a_whole_table() -> None:
    names = [job.name for job in plan_jobs(REQUEST)]
    assert names == [
        "zero-task1",
        "small-task1-seed0",
        "zero-task2",
        "small-task2-seed0",
        "small-task1-seed1",
        "small-task2-seed1",
    ]
    assert missing_checkpoints(REQUEST) == (ZERO_SHOT, TUNED)


def test_rows_whose_checkpoint_is_given(tmp_path: Path) -> None:
    given = replace(REQUEST, models={"big": "org/big@main"})
    assert "tuned-task2-seed1" in [job.name for job in plan_jobs(given)]
    assert missing_checkpoints(given) == ()


def test_rows_with_an_environment_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENVIRONMENTS_VARIABLE, str(tmp_path))
    request = replace(REQUEST, rows=(CONTROL, ROWS["gemnet"]))
    assert missing_environments(request) == (ROWS["gemnet"],)
    assert {job.row for job in plan_jobs(request)} == {CONTROL}
    with pytest.raises(SetupError, match="the package 'fairchem-core', which is not installed"):
        identity_of(Job(ROWS["gemnet"], "task1", 0), request, CONTENT)
    packages = {"fairchem-core": "1.10.0", "torch": "2.9"}
    found = Environment("fairchem1", tmp_path, packages)
    monkeypatch.setattr(jobs, "find_environment", {"fairchem1": found}.get)
    assert missing_environments(request) == ()
    (job,) = [job for job in plan_jobs(request) if job.name == "gemnet-task2-seed1"]
    identity = identity_of(job, request, CONTENT)
    assert (identity["fairchem-core version"], identity["torch version"]) == ("1.10.0", "2.9")


def test_rows_whose_weights_come_with_a_package() -> None:
    rows = (ROWS["so3lr"], ROWS["so3lr-tuned"])
    request = replace(REQUEST, rows=rows)
    assert missing_checkpoints(request) == ()
    zero_shot, tuned = (commands(Job(row, "task1", 0), request, PLACES) for row in rows)
    assert zero_shot["predict"][:2] == ("--model", "so3lr")
    assert " ".join(tuned["train"]) == (
        "train --task task1 --dataset mini --device auto --init so3lr --epochs 5 --seed 0 --out checkpoints/x"
    )
    assert tuned["predict"][:2] == ("--model", "checkpoints/x")


def test_a_package_is_found_under_the_name_of_its_own_metadata(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = Environment("so3lr", tmp_path, {"So3krates-torch": "0.2.1", "torch": "2.13.0"})
    monkeypatch.setattr(jobs, "find_environment", {"so3lr": found}.get)
    identity = identity_of(Job(ROWS["so3lr"], "task1", None), replace(REQUEST, rows=(ROWS["so3lr"],)), CONTENT)
    assert (identity["so3krates-torch version"], identity["torch version"]) == ("0.2.1", "2.13.0")
    with pytest.raises(
        SetupError, match=r"has no package e3nn; delete that folder and create it again: .* create so3lr"
    ):
        found.version_of("e3nn")


def test_commands_of_a_control() -> None:
    assert commands(Job(CONTROL, "task1", None), REQUEST, PLACES) == {
        "predict": (
            "--model",
            "zero",
            "--task",
            "task1",
            "--dataset",
            "mini",
            "--device",
            "auto",
            "--labels",
            "gfn2-xtb",
            "--output",
            "results",
        )
    }


def test_commands_of_a_trained_row() -> None:
    found = commands(Job(NETWORK, "task2", 1), REQUEST, PLACES)
    assert " ".join(found["train"]) == (
        "train --task task2 --dataset mini --device auto --arch PaiNN --epochs 5 --seed 1 --out checkpoints/x"
    )
    assert found["predict"][:2] == ("--model", "checkpoints/x")


def test_commands_name_the_labels() -> None:
    at_dft = replace(REQUEST, level=find_level("wb97x"))
    for command in commands(Job(NETWORK, "task1", 0), at_dft, PLACES).values():
        place = command.index("--labels")
        assert command[place + 1] == "wb97x"


def test_commands_of_rows_with_a_checkpoint() -> None:
    request = replace(REQUEST, models={"big": "big.pt"}, trust_checkpoint=True)
    places = replace(PLACES, model="big.pt")
    shot = commands(Job(ZERO_SHOT, "task1", None), request, places)
    assert shot["predict"][:2] == ("--model", "big.pt")
    # Its own level, or the one nearest to it, may be another one.
    assert "--labels gfn2-xtb" in " ".join(shot["predict"])
    assert "--trust-checkpoint" in shot["predict"]
    tuned = commands(Job(TUNED, "task1", 0), request, places)
    assert "--init big.pt --trust-checkpoint" in " ".join(tuned["train"])
    assert tuned["predict"][:2] == ("--model", "checkpoints/x")
    assert "--trust-checkpoint" not in tuned["predict"]


@pytest.mark.parametrize(
    ("request_", "factor", "options"),
    [
        (REQUEST, 1.0, "--epochs 5"),
        (replace(REQUEST, epochs=3), 0.1, "--epochs 1"),
        (replace(REQUEST, epochs=3), 4.0, "--epochs 12"),
        (replace(REQUEST, epochs=None, steps=4500), 1.0, "--steps 4500"),
        (replace(REQUEST, epochs=None, steps=4500), 0.1, "--steps 450"),
        (replace(REQUEST, epochs=None, steps=4500), 4.0, "--steps 18000"),
    ],
)
def test_lengths(request_: Request, factor: float, options: str) -> None:
    job = Job(replace(NETWORK, budget_factor=factor), "task1", 0)
    assert f"--arch PaiNN {options} --seed 0" == " ".join(train_options(job, request_))


@pytest.mark.parametrize("compiles", [True, False])
def test_only_what_can_be_compiled_is(compiles: bool) -> None:
    job = Job(replace(NETWORK, compiles=compiles), "task1", 0)
    request = replace(REQUEST, compile=True)
    assert ("--compile always" in " ".join(train_options(job, request))) is compiles
    assert ("--compile" in asked_of(job, request, PLACES)) is compiles


def test_no_row_depends_on_the_clock() -> None:
    """What is published goes by epochs or steps, of which every command of every row says how many."""
    for row in ROWS.values():
        for request in (REQUEST, replace(REQUEST, epochs=None, steps=900)):
            options = train_options(Job(row, "task1", 0 if row.seeded else None), request)
            assert "--budget" not in options
            assert row.budgeted == bool({"--epochs", "--steps"}.intersection(options))


def test_exactly_one_length() -> None:
    with pytest.raises(UsageError, match="give one of --epochs and --steps"):
        replace(REQUEST, steps=3)
    with pytest.raises(UsageError, match="--steps 0; expected 1 or more"):
        replace(REQUEST, epochs=None, steps=0)


def test_an_identity_changes_with_what_matters(tmp_path: Path) -> None:
    job = Job(NETWORK, "task1", 0)
    first = identity_of(job, REQUEST, CONTENT)
    kept = record("small", seed=0, identity=first)
    assert changes(kept, first) == ()
    assert changes(None, first) == ("no record",)
    assert changes(kept, identity_of(job, replace(REQUEST, epochs=6), CONTENT)) == ("options",)
    wider = Job(replace(NETWORK, train=("--arch", "PaiNN", "--channels", "8")), "task1", 0)
    assert changes(kept, identity_of(wider, REQUEST, CONTENT)) == ("options",)
    assert changes(kept, identity_of(job, REQUEST, "cd" * 32)) == ("dataset",)
    # What other rows are told does not matter.
    control = identity_of(Job(CONTROL, "task1", None), REQUEST, CONTENT)
    assert control == identity_of(Job(CONTROL, "task1", None), replace(REQUEST, epochs=6), CONTENT)


def test_a_checkpoint_counts_by_its_content(tmp_path: Path) -> None:
    path = tmp_path / "big.pt"
    job = Job(ZERO_SHOT, "task1", None)
    request = replace(REQUEST, models={"big": str(path)})
    path.write_text("weights")
    first = identity_of(job, request, CONTENT)
    elsewhere = path.rename(tmp_path / "moved").rename(tmp_path / "folder.pt")
    elsewhere.rename(path)
    assert identity_of(job, request, CONTENT) == first
    path.write_text("other weights")
    assert changes(record("big", identity=first), identity_of(job, request, CONTENT)) == ("checkpoint",)


def test_other_code_may_be_let_pass() -> None:
    job = Job(NETWORK, "task1", 0)
    now = identity_of(job, REQUEST, CONTENT)
    kept = record("small", seed=0, identity={**now, "train_code": "0" * 64})
    assert changes(kept, now) == ("train code",)
    assert changes(kept, now, any_code=True) == ()


def test_a_package_that_is_not_installed() -> None:
    job = Job(replace(CONTROL, packages=("no-such-package",)), "task1", None)
    with pytest.raises(SetupError, match="the package 'no-such-package', which is not installed"):
        identity_of(job, REQUEST, CONTENT)


def test_rows_are_chosen_by_name_kind_and_group() -> None:
    assert [row.name for row in choose_rows(["painn", "zero"])] == ["zero", "painn"]
    assert choose_rows([]) == choose_rows(["main"])
    assert {row.kind for row in choose_rows(["control"])} == {"control"}
    assert len(choose_rows(["all"])) == len(ROWS)
    assert {row.group for row in choose_rows(["ablation"])} == {"ablation"}
    with pytest.raises(UsageError, match="unknown row 'pain'; known rows: gfn2-xtb"):
        choose_rows(["pain"])
