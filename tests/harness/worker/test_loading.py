import json
import sys
from dataclasses import replace

import numpy as np
import pytest

from dataset_builders.core.errors import ModelError, SetupError, UsageError
from harness.core.potential import LoadOptions
from harness.models.registry import identify
from harness.worker import loading
from harness.worker.client import WorkerPotential
from harness.worker.family_environments import ENVIRONMENTS, Environment, lock_of
from harness.worker.loading import loaded
from tests.harness.potentials.molecules import molecules, saved, small_mace

OPTIONS = LoadOptions(device="cpu", trust_checkpoint=True)


@pytest.fixture(autouse=True)
def no_environments(tmp_path, monkeypatch):
    monkeypatch.setenv("MLIP_OOD_ENVIRONMENTS", str(tmp_path / "environments"))


@pytest.fixture
def mace(tmp_path):
    pytest.importorskip("mace")
    return identify(str(saved(small_mace(), tmp_path / "small.model")))


def worker_of(potential):
    """The worker behind a potential, under whatever name it stands."""
    while not isinstance(potential, WorkerPotential) and hasattr(potential, "potential"):
        potential = potential.potential
    return potential if isinstance(potential, WorkerPotential) else None


def test_a_method_computes_here_and_where_asked_in_a_worker():
    source = identify("mmff94")
    with loaded(source, OPTIONS) as here, loaded(source, OPTIONS, "always") as there:
        assert worker_of(here) is None
        assert isinstance(worker_of(there), WorkerPotential)
        mine, its = here.compute(molecules()), there.compute(molecules())
        assert here.traits == replace(there.traits, versions={})
    assert np.array_equal(mine.energy, its.energy)
    assert np.array_equal(mine.forces, its.forces)


def test_a_pickle_is_loaded_in_a_worker_that_ends_with_the_block(mace):
    with loaded(mace, OPTIONS) as potential, loaded(mace, OPTIONS, "never") as here:
        assert isinstance(worker_of(potential), WorkerPotential)
        process = worker_of(potential)._worker._process
        assert potential.traits.model_id == mace.model_id
        assert set(potential.traits.versions) == set(potential.traits.packages)
        np.testing.assert_allclose(potential.compute(molecules()).forces, here.compute(molecules()).forces, atol=1e-12)
        assert process.poll() is None
    assert process.poll() is not None


def test_a_pickle_without_trust_is_refused_from_its_worker(mace):
    with pytest.raises(ModelError, match=r"is a pickle, .*add --trust-checkpoint"), loaded(mace, LoadOptions()):
        pass


def test_the_environment_of_a_family_is_found(monkeypatch, tmp_path, mace):
    """An environment whose interpreter is this one stands for one that was made."""
    directory = tmp_path / "environments" / "mace"
    (directory / "bin").mkdir(parents=True)
    (directory / "bin" / "python").symlink_to(sys.executable)
    stamp = {"requirements": list(ENVIRONMENTS["mace"].requirements), "lock": lock_of("mace"), "packages": {}}
    (directory / "mlip-ood.json").write_text(json.dumps(stamp))
    specs = []
    monkeypatch.setattr(
        loading,
        "WorkerPotential",
        lambda spec: specs.append(spec) or WorkerPotential(replace(spec, python=type(spec.python)(sys.executable))),
    )
    with loaded(mace, OPTIONS):
        pass
    assert specs[0].python == Environment("mace", directory, {}).python
    with pytest.raises(UsageError, match="leave out --isolation never"), loaded(mace, OPTIONS, "never"):
        pass


def test_a_package_that_is_not_there_has_a_remedy(monkeypatch, mace):
    monkeypatch.setattr(loading.importlib.util, "find_spec", lambda name: None)
    message = r"pip install 'mlip-ood\[mace\]', or in a separate environment with: python -m harness env create mace"
    with pytest.raises(SetupError, match=message), loaded(mace, OPTIONS):
        pass
    with (
        pytest.raises(SetupError, match="Create it with: python -m harness env create sevennet"),
        loaded(identify("7net-0"), OPTIONS),
    ):
        pass
