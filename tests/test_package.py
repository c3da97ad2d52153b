"""The package as people get it: the embedded edition through `datasets`, and a wheel that holds it."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from dataset_builders.folder.mini import MINI_DIRECTORY
from dataset_builders.folder.schema import COLUMNS
from dataset_builders.tasks.editions import EDITIONS, SPLITS
from dataset_builders.tasks.regions import TASKS
from harness.data.dataset import open_dataset, open_levels
from harness.report.control_gaps import INSTALLED, control_gaps
from harness.results.result import RunResult
from tests.benchmarks.shipped_controls import CONTROLS, file_name

ROOT = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def cache_of_datasets(tmp_path, monkeypatch):
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


@pytest.mark.parametrize("task", TASKS.values(), ids=lambda task: task.name)
def test_the_embedded_edition_loads_by_config(task, tmp_path):
    from datasets import List, Value, load_dataset

    loaded = load_dataset(str(MINI_DIRECTORY), task.name, cache_dir=str(tmp_path))
    assert set(loaded) == set(SPLITS)
    features = loaded["train"].features
    assert list(features) == [name for name, _, _ in COLUMNS]
    assert features["positions"] == List(Value("float32"))
    assert features["atomic_numbers"] == List(Value("uint8"))
    assert features["energy"] == Value("float64")
    mini = EDITIONS["mini"]
    assert {split: rows.num_rows for split, rows in loaded.items()} == {
        "train": mini.train * len(task.train_words()),
        "validation": mini.validation * len(task.train_words()),
        "test_id": mini.test_id * len(task.train_words()),
        "test_ood": mini.test_ood * len(task.ood_words()),
    }


def test_the_embedded_edition_streams():
    from datasets import load_dataset

    stream = load_dataset(str(MINI_DIRECTORY), "task3", split="test_ood", streaming=True)
    rows = list(stream)  # to its end: a stream left half-read can end Python with an abort (apache/arrow#45214)
    assert len(rows) == 300
    row = rows[0]
    assert len(row["positions"]) == len(row["forces"]) == 3 * row["n_atoms"] == 3 * len(row["atomic_numbers"])
    assert row["subset"] in ("near", "far")


def test_the_embedded_edition_is_small():
    size = sum(path.stat().st_size for path in MINI_DIRECTORY.rglob("*") if path.is_file())
    assert size < 12e6


@pytest.mark.parametrize("control", CONTROLS)
def test_installed_results_of_controls_are_of_the_embedded_edition(control):
    result = RunResult.load(INSTALLED / f"{control}.json")
    assert result.model.id == control
    assert result.complete
    assert result.dataset.content_hash == open_dataset("mini").content_hash


@pytest.mark.parametrize("dataset", open_levels("mini"), ids=lambda dataset: dataset.level.name)
def test_the_gap_of_gfn1_is_known_at_every_level_of_the_embedded_edition(dataset):
    """Otherwise run `python -m tests.benchmarks.shipped_controls`."""
    for control in CONTROLS:
        result = RunResult.load(INSTALLED / file_name(control, dataset.level.name))
        assert (result.model.id, result.dataset.content_hash) == (control, dataset.content_hash)
        assert tuple(result.tasks) == dataset.tasks
    assert set(control_gaps(dataset.content_hash, [], None)) == set(dataset.tasks)


def test_a_wheel_holds_the_edition_and_the_reference_checkpoint(tmp_path):
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(tmp_path),
    ]
    subprocess.run([*command, str(ROOT)], check=True, capture_output=True, timeout=200)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    for task in TASKS:
        for split in SPLITS:
            assert f"dataset_builders/data/mini/{task}/{split}-00000-of-00001.parquet" in names
    for name in (
        "dataset_builders/data/mini/README.md",
        "dataset_builders/templates/dataset_card.md.jinja",
        "harness/networks/reference/config.json",
        "harness/networks/reference/model.safetensors",
        "harness/report/shipped_controls/gfn1-xtb.json",
        "harness/report/shipped_controls/mmff94.json",
        "harness/report/shipped_controls/gfn1-xtb-wb97x.json",
        "harness/core/known_checkpoints.toml",
        "dataset_builders/data/level_distances/distances.json",
        "harness/metric/mlip_ood/mlip_ood.py",
        "harness/peg/tree/analyse.py",
        "harness/peg/tree/category.yml",
        "harness/py.typed",
        "model_cards/templates/checkpoint.md.jinja",
    ):
        assert name in names
    assert not any(name.startswith("tests/") for name in names)
