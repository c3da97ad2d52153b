"""A training goes by steps: the clock decides at most how many there are, once, before the first of them."""

import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from dataset_builders.core.errors import UsageError
from harness.networks.architecture import NetworkArguments
from harness.networks.checkpoint_format import WEIGHTS_FILE, read_config
from harness.train.loop import planned_steps, start_run
from harness.train.pace import steps_within
from harness.train.settings import TrainSettings
from harness.train.state import STATE_FILE
from harness.train.steps import Run
from harness.train.task_data import read_training_data
from tests.harness.training_set import CUTOFF, interrupting_after, train, write_training_set

Clock = Callable[[Iterator[float]], None]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_training_set(tmp_path_factory.mktemp("dataset") / "toy")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Replaces the clock that training looks at by one of these times."""

    def replace(times: Iterator[float]) -> None:
        # Not the clock of the whole process: threads of other tests, such as that of a server, look at it too.
        for module in ("loop", "pace"):
            monkeypatch.setattr(f"harness.train.{module}.time", SimpleNamespace(monotonic=lambda: next(times)))

    return replace


def busy(seconds: float) -> Iterator[float]:
    """A clock on which each look is so much later: a trial step is one look, and so is a validation."""
    return itertools.count(100.0, seconds)


def weights(folder: Path) -> bytes:
    return (folder / WEIGHTS_FILE).read_bytes()


def curve(folder: Path) -> list[list[str]]:
    """The validation curve without its column of seconds."""
    lines = (folder / "validation_curve.csv").read_text().splitlines()
    return [line.split(",")[:1] + line.split(",")[2:] for line in lines]


@pytest.mark.parametrize("length", [("--steps", "9"), ("--epochs", "2")])
def test_runs_of_one_seed_give_the_same_bytes_whatever_the_load(
    dataset: Path, tmp_path: Path, clock: Clock, length: tuple[str, str]
) -> None:
    loads = {"idle": busy(1e-4), "busy": busy(7.0), "uneven": itertools.accumulate(itertools.cycle([0.1, 900.0, 2.0]))}
    for name, times in loads.items():
        clock(times)
        train(dataset, tmp_path / name, *length, "--validations", "3")
    assert weights(tmp_path / "idle") == weights(tmp_path / "busy") == weights(tmp_path / "uneven")
    assert curve(tmp_path / "idle") == curve(tmp_path / "busy") == curve(tmp_path / "uneven")


def test_a_budget_becomes_a_number_of_steps_that_is_recorded(
    dataset: Path, tmp_path: Path, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--budget", "30s", "--validations", "2", "--compile", "never")
    for seconds, n_steps in ((1.0, 28), (2.0, 13)):
        clock(busy(seconds))
        train(dataset, tmp_path / f"budget{n_steps}", *options)
        training = read_config(tmp_path / f"budget{n_steps}").training
        assert (training["planned_steps"], training["steps"]) == (n_steps, n_steps)
        assert training["settings"]["budget_minutes"] == 0.5
        assert f"to reproduce it, use --steps {n_steps} --compile never" in capsys.readouterr().out
    # Whoever has the record can repeat the run without the clock.
    clock(busy(0.1))
    train(dataset, tmp_path / "steps", "--steps", "13", "--validations", "2", "--compile", "never")
    assert weights(tmp_path / "steps") == weights(tmp_path / "budget13")
    assert curve(tmp_path / "steps") == curve(tmp_path / "budget13")


def test_a_run_that_goes_on_keeps_its_number_of_steps(
    dataset: Path, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ("--budget", "30s", "--validations", "3", "--compile", "never")
    clock(busy(1.0))
    train(dataset, tmp_path / "whole", *options)
    clock(busy(1.0))
    with monkeypatch.context() as patched:
        patched.setattr("harness.train.loop.write_state", interrupting_after(1))
        with pytest.raises(KeyboardInterrupt):
            train(dataset, tmp_path / "parts", *options)
    clock(busy(5.0))
    train(dataset, tmp_path / "parts", *options)
    assert read_config(tmp_path / "parts").training["planned_steps"] == 27
    assert weights(tmp_path / "parts") == weights(tmp_path / "whole")
    assert curve(tmp_path / "parts") == curve(tmp_path / "whole")


@pytest.fixture
def run(dataset: Path, tmp_path: Path) -> Run:
    settings = TrainSettings(arguments=NetworkArguments(4, 4, 1, CUTOFF), budget_minutes=0.5, validations=2)
    return start_run(settings, read_training_data(dataset, "task2", CUTOFF), tmp_path, torch.device("cpu"))


def test_measuring_the_speed_leaves_the_run_as_it_was(run: Run, clock: Clock) -> None:
    before = [[value.clone() for value in network.parameters()] for network in (run.network, run.averaged)]
    random = torch.get_rng_state()
    clock(busy(1.0))
    assert planned_steps(run) == steps_within(run, 0.5) == 28
    for network, values in zip((run.network, run.averaged), before, strict=True):
        assert all(map(torch.equal, network.parameters(), values))
    assert not run.optimizer.state
    assert torch.equal(torch.get_rng_state(), random)
    assert run.step == 0


def test_a_time_that_validations_alone_take_is_refused(run: Run, clock: Clock) -> None:
    clock(busy(20.0))
    with pytest.raises(
        UsageError, match=r"--budget of 30 s is too short: 2 validations take 40\.0 s, .* fewer --validations"
    ):
        steps_within(run, 0.5)


def test_a_run_of_an_earlier_release(dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for length, message in ((("--budget", "1h"), "whose learning rate followed the clock"), (("--epochs", "2"), "")):
        out = tmp_path / length[0].strip("-")
        options = (*length, "--validations", "2000" if message else "2", "--compile", "never")
        with monkeypatch.context() as patched:
            patched.setattr("harness.train.loop.write_state", interrupting_after(1))
            patched.setattr("harness.train.loop.planned_steps", lambda _run: 8)
            with pytest.raises(KeyboardInterrupt):
                train(dataset, out, *options)
        _as_before(out / STATE_FILE)
        if message:
            with pytest.raises(UsageError, match=message):
                train(dataset, out, *options)
        else:
            assert train(dataset, out, *options) == 0
            assert read_config(out).training["steps"] == 8


def _as_before(path: Path) -> None:
    """Leaves out of a state what earlier releases did not write into it."""
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no mapping)
        record = json.loads(file.metadata()["record"])
    del record["n_steps"]
    save_file(tensors, path, metadata={"record": json.dumps({**record, "fraction": 0.5})})
