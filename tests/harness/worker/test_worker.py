import os
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from dataset_builders.core.errors import ModelError, SetupError
from harness.core.batch import StructureBatch
from harness.core.potential import LoadOptions
from harness.potentials.mmff94 import load as load_mmff94
from harness.worker.client import WorkerPotential, WorkerSpec
from tests.harness.potentials.molecules import molecules

HERE = Path(__file__).parent


@pytest.fixture
def deeds(tmp_path):
    path = tmp_path / "deeds"
    path.write_text("")
    return path


def spec(deeds, **changes):
    return WorkerSpec("stubborn", deeds, changes.pop("options", LoadOptions()), module_folders=(HERE,), **changes)


@pytest.fixture
def potential(deeds):
    worker = WorkerPotential(spec(deeds, batch_seconds=20.0))
    yield worker
    worker.close()


@pytest.fixture(scope="module")
def lasting_deeds(tmp_path_factory):
    path = tmp_path_factory.mktemp("lasting") / "deeds"
    path.write_text("")
    return path


@pytest.fixture(scope="module")
def lasting(lasting_deeds):
    """A worker for what leaves it alive."""
    worker = WorkerPotential(spec(lasting_deeds, batch_seconds=20.0))
    yield worker
    worker.close()


BATCH = StructureBatch(
    atomic_numbers=np.array([8, 1, 1, 6], dtype=np.uint8),
    positions=np.arange(12, dtype=np.float32).reshape(4, 3),
    n_atoms=np.array([3, 1]),
    smiles=("O", "C"),
)


def test_a_worker_computes_what_the_potential_computes():
    batch = molecules()
    here = load_mmff94("mmff94", LoadOptions()).compute(batch)
    worker = WorkerPotential(WorkerSpec("harness.potentials.mmff94", "mmff94", LoadOptions()))
    there = worker.compute(batch)
    assert worker.traits.family == "mmff94"
    assert np.array_equal(here.energy, there.energy)
    assert np.array_equal(here.forces, there.forces)
    worker.close()


def test_traits_come_across(lasting):
    assert lasting.traits.elements == frozenset({1, 6, 8})
    assert lasting.traits.files == {"weights": "0" * 64}
    assert lasting.traits.packages == ("numpy",)


def test_what_a_model_prints_disturbs_nothing(lasting, lasting_deeds):
    lasting_deeds.write_text("chatter")
    assert np.array_equal(lasting.compute(BATCH).forces, BATCH.positions * 2.0)


def test_what_a_model_prints_fills_no_disk(potential, deeds, caplog):
    """30 MB of warnings: the end of them is told, and none of it is in the worker's folder."""
    deeds.write_text("flood flood")
    lost = potential.compute(BATCH)
    assert lost.failures[0].endswith("a warning | a warning")
    assert len(lost.failures[0]) < 400
    home = potential._worker._home
    assert sum(path.stat().st_size for path in home.rglob("*") if path.is_file() and not path.is_symlink()) < 1e6


def test_a_worker_that_dies_is_started_again(potential, deeds, caplog):
    deeds.write_text("die")
    prediction = potential.compute(BATCH)
    assert np.array_equal(prediction.forces, BATCH.positions * 2.0)
    assert prediction.failures == {}
    assert "SIGKILL, usually for lack of memory" in caplog.text
    assert "a last word" in caplog.text
    assert "restarting it" in caplog.text


def test_a_worker_that_is_closed_while_it_computes_is_not_started_again(potential, deeds, caplog):
    """As by an interruption: the main thread ends the run while another one waits for the worker."""
    deeds.write_text("hang")
    with ThreadPoolExecutor(1) as executor:
        waiting = executor.submit(potential.compute, BATCH)
        while deeds.read_text():
            time.sleep(0.01)
        potential.close()
        with pytest.raises(ModelError, match="was closed while it computed"):
            waiting.result(timeout=30.0)
    assert "its worker ended" not in caplog.text


def test_a_batch_that_kills_twice_fails_and_the_rest_goes_on(potential, deeds):
    deeds.write_text("die raise")
    lost = potential.compute(BATCH)
    assert np.isnan(lost.energy).all()
    assert np.isnan(lost.forces).all()
    assert set(lost.failures) == {0, 1}
    assert "RuntimeError: a bug in the model" in lost.failures[0]
    assert potential.compute(BATCH).failures == {}


def test_a_model_that_always_kills_is_given_up(potential, deeds):
    deeds.write_text("die " * 6)
    potential.compute(BATCH)
    potential.compute(BATCH)
    with pytest.raises(
        ModelError, match=r"ended its worker twice on each of 3 consecutive batches.*smaller --batch-atoms"
    ):
        potential.compute(BATCH)


def test_a_worker_that_hangs_is_ended(deeds):
    worker = WorkerPotential(spec(deeds, batch_seconds=1.0))
    deeds.write_text("hang hang")
    lost = worker.compute(BATCH)
    assert "it did not answer within 1 s" in lost.failures[0]
    worker.close()


def test_out_of_memory_is_for_the_caller_to_halve(lasting, lasting_deeds):
    lasting_deeds.write_text("fill")
    with pytest.raises(torch.OutOfMemoryError, match="no room for 7 GiB"):
        lasting.compute(BATCH)
    assert lasting.compute(BATCH).failures == {}


def test_an_error_of_ours_comes_across_as_itself(lasting, lasting_deeds):
    lasting_deeds.write_text("refuse")
    with pytest.raises(ModelError, match="no parameters for element 92"):
        lasting.compute(BATCH)


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ("broken", r"deeds cannot be loaded: ValueError: unreadable weights"),
        ("refused", "weights of another family"),
        ("dead", r"deeds could not be loaded in its worker: .*exit code 7"),
    ],
)
def test_what_cannot_be_loaded_is_reported(deeds, head, message):
    with pytest.raises(ModelError, match=message):
        WorkerPotential(spec(deeds, options=LoadOptions(head=head)))


def test_a_model_that_does_not_fit_is_a_matter_of_the_device(deeds):
    message = (
        r"deeds does not fit in the memory of the device auto \(RuntimeError: CUDA error: out of memory\); free some"
    )
    with pytest.raises(SetupError, match=message):
        WorkerPotential(spec(deeds, options=LoadOptions(head="large")))


def test_an_interpreter_that_is_not_there_is_reported(deeds):
    with pytest.raises(ModelError, match=r"cannot start /nowhere/python: .*create the environment again"):
        WorkerPotential(spec(deeds, python=Path("/nowhere/python")))


def test_a_worker_sees_no_token_and_no_network(potential, deeds, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setenv("WANDB_API_KEY", "secret")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    worker = WorkerPotential(spec(deeds))
    with socket.create_server(("127.0.0.1", 0)) as server:
        deeds.with_name("port").write_text(str(server.getsockname()[1]))
        deeds.write_text("look")
        seen = worker.compute(BATCH).failures[0].splitlines()
    worker.close()
    assert not any("secret" in line for line in seen)
    assert {"OMP_NUM_THREADS=1", "HF_HUB_OFFLINE=1", "token_file=False"} <= set(seen)
    if _can_be_cut_off():
        assert "network=no" in seen


def _can_be_cut_off():
    program = "from harness.worker.sandbox import cut_off_network; raise SystemExit(not cut_off_network())"
    return os.spawnl(os.P_WAIT, sys.executable, sys.executable, "-c", program) == 0


def test_nothing_of_a_worker_is_left(deeds):
    worker = WorkerPotential(spec(deeds))
    process, home = worker._worker._process, worker._worker._home
    worker.close()
    assert process.poll() is not None
    assert not home.exists()


def test_a_forgotten_worker_ends_with_its_potential(deeds):
    worker = WorkerPotential(spec(deeds))
    process = worker._worker._process
    del worker
    assert process.poll() is not None


def test_setup_errors_keep_their_kind(deeds):
    from harness.worker.client import _error_of

    assert isinstance(_error_of({"type": "SetupError", "message": "no disk"}), SetupError)
    assert type(_error_of({"type": "BaseException", "message": "odd"})) is ModelError


def test_a_batch_behind_one_that_kills_is_computed_all_the_same(potential, deeds):
    deeds.write_text("die die")
    first, second = (potential.launch(potential.prepare(BATCH)) for _ in range(2))
    assert set(potential.collect(first).failures) == {0, 1}
    assert potential.collect(second).failures == {}


def test_a_worker_that_dies_behind_a_full_device_loses_nothing(potential, deeds):
    deeds.write_text("fill die")
    first, second = (potential.launch(potential.prepare(BATCH)) for _ in range(2))
    with pytest.raises(torch.OutOfMemoryError, match="no room for 7 GiB"):
        potential.collect(first)
    again = potential.compute(BATCH)
    assert np.array_equal(again.forces, BATCH.positions * 2.0)
    assert potential.collect(second).failures == {}
