"""The embedded edition itself: certified, and labelled with what it says."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from dataset_builders.certify.audit import certify
from dataset_builders.chemistry.labels import compute_label
from dataset_builders.chemistry.levels import LEVELS_BY_SUFFIX
from dataset_builders.chemistry.xtb import cold_singlepoint
from dataset_builders.folder.mini import MINI_DIRECTORY
from dataset_builders.tasks.regions import TASKS

FILES = sorted(path for task in TASKS for path in (MINI_DIRECTORY / task).glob("*.parquet"))
DFT_FILES = sorted(set(MINI_DIRECTORY.glob("*/*.parquet")) - set(FILES))
LABEL_TOLERANCE = 1e-5  # eV/Å, the limit of the specification; the same processor gives the same bits


def mean_force_error(path, every):
    rows = pq.read_table(path).take(list(range(0, pq.read_metadata(path).num_rows, every))).to_pylist()
    errors = []
    for row in rows:
        positions = np.array(row["positions"], dtype=np.float32).reshape(-1, 3)
        energy, forces = cold_singlepoint("GFN2-xTB", np.array(row["atomic_numbers"]), positions)
        assert energy == pytest.approx(row["energy"], abs=1e-5)
        errors.append(np.abs(forces.ravel() - row["forces"]).mean())
    return np.mean(errors)


def test_it_is_certified_with_the_specified_counts():
    report = certify(MINI_DIRECTORY)
    assert report.ok, report.text()
    counts = {task.config: (task.n_train, task.n_ood) for task in report.certificate.tasks}
    assert counts == {
        "task1": (30, 40),
        "task2": (36, 24),
        "task2-pbe": (36, 24),
        "task2-wb97x": (36, 24),
        "task3-wb97x": (28, 30),
        "task3": (28, 30),
        "task4": (18, 16),
    }


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.name.split('-')[0]}")
def test_gfn2_reproduces_a_sample_of_its_labels(path):
    assert mean_force_error(path, every=97) < LABEL_TOLERANCE


@pytest.mark.slow
@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.name.split('-')[0]}")
def test_gfn2_reproduces_every_label(path):
    assert mean_force_error(path, every=1) < LABEL_TOLERANCE


@pytest.mark.slow
@pytest.mark.parametrize("path", DFT_FILES, ids=lambda path: f"{path.parent.name}-{path.name.split('-')[0]}")
def test_a_density_functional_reproduces_a_label(path):
    level = LEVELS_BY_SUFFIX[path.parent.name.partition("-")[2]]
    row = min(pq.read_table(path).to_pylist(), key=lambda row: row["n_atoms"])
    positions = np.array(row["positions"], dtype=np.float32).reshape(-1, 3)
    energy, forces = compute_label(level, np.array(row["atomic_numbers"]), positions)
    assert energy == pytest.approx(row["energy"], abs=1e-4)
    np.testing.assert_allclose(forces.ravel(), row["forces"], atol=1e-4)
