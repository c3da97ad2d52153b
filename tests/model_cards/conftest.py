import hashlib
from datetime import UTC, datetime

import pytest

from dataset_builders.card.eval_yaml import eval_yaml
from dataset_builders.tasks.regions import TASKS
from harness.results.cost import CostRecord
from harness.scoring.intervals import IntervalSettings
from tests.harness.frame_tables import evaluate_frames, make_task
from tests.harness.results.test_result import result_of

DATASET = "compgen/mlip-ood"
COMMIT = "1234567890abcdef1234567890abcdef12345678"
MODEL = "ann/model"
FOREIGN = "bob/model"
WEIGHTS = b"weights \0 of a model"
CONFIG = b'{"format": "some"}\n'
FILES = {"model.safetensors": WEIGHTS, "config.json": CONFIG}


@pytest.fixture(scope="session")
def measured():
    """Results of the four tasks, of a model that is a little wrong."""
    settings = IntervalSettings()
    return {name: evaluate_frames(make_task(name, seed, frames_each=2), settings) for seed, name in enumerate(TASKS)}


COST = CostRecord(
    structures_per_second=1234.5,
    n_timed=500,
    n_structures=600,
    n_processes=1,
    processor="A CPU; fast",
    threads=2,
    peak_device_bytes=None,
    peak_resident_bytes=3 * 2**29,
)


@pytest.fixture
def make_result(measured):
    """Makes a result that may be pushed; `model` and `dataset` change fields of those records."""

    def make(*names, revision=COMMIT, model=None, created=datetime(2026, 8, 1, 12, tzinfo=UTC), **changes):
        result = result_of({name: measured[name] for name in names or ("task2",)}, created)
        hashes = {name: hashlib.sha256(content).hexdigest() for name, content in FILES.items()}
        used = {"id": MODEL, "family": "graph-pes", "revision": "c" * 40, "files": hashes} | (model or {})
        data = {"id": DATASET, "revision": revision, "edition": "standard"} | changes.pop("dataset", {})
        return result.model_copy(
            update={
                "model": result.model.model_copy(update=used),
                "dataset": result.dataset.model_copy(update=data),
                **changes,
            }
        )

    return make


@pytest.fixture
def hub_result(hub, make_result):
    """Makes a result on a data set of the loopback Hub that is a benchmark."""
    commit = hub.add_repo(DATASET, "dataset", {"eval.yaml": eval_yaml([*TASKS]).encode(), "README.md": b"# Data\n"})

    def make(*names, **changes):
        return make_result(*names, **{"revision": commit} | changes)

    return make


@pytest.fixture
def own_repo(hub):
    """Ann's model repo, and ann logged in."""
    hub.add_user("ann", orgs={"compgen": "write", "readers": "read"})
    hub.log_in("ann")
    return hub.add_repo(MODEL, files={**FILES, "README.md": b"---\nlicense: mit\n---\n\n# A model\n"})


@pytest.fixture
def foreign_repo(hub, own_repo):
    """A repo of bob's, whom ann is not."""
    return hub.add_repo(FOREIGN, files={**FILES, "README.md": b"---\nlicense: mit\n---\n\n# Bob's\n"})


@pytest.fixture
def foreign_result(foreign_repo, hub_result):
    return lambda *names, **changes: hub_result(*names, model={"id": FOREIGN}, **changes)
