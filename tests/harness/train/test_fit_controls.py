"""`harness train --arch knn` and `additive`: what is written, and what is refused."""

import builtins
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from dataset_builders.core.errors import DataError, UsageError
from dataset_builders.tasks.words import word
from harness.core.batch import StructureBatch
from harness.core.potential import LoadOptions
from harness.data.rows import read_split
from harness.models.registry import identify, load_potential
from harness.networks.control_checkpoints import CONTROL_ARCHITECTURES, ControlArchitecture, read_control
from harness.train.fit_controls import read_control_data
from harness.train.task_data import pin_training_files
from tests.harness.control_checkpoints import WORDS, train, training_data
from tests.harness.small_dataset import frames_of, write_split

pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return training_data(tmp_path_factory.mktemp("dataset"))


@pytest.fixture(scope="module", params=CONTROL_ARCHITECTURES)
def checkpoint(request: pytest.FixtureRequest, dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    if request.param == "knn":
        pytest.importorskip("torchani")
    out = tmp_path_factory.mktemp("checkpoints") / request.param
    assert train(dataset, out, request.param) == 0
    return out


def family_of(checkpoint: Path) -> ControlArchitecture:
    return next(name for name in CONTROL_ARCHITECTURES if name == checkpoint.name)


def test_checkpoint_says_what_it_is(checkpoint: Path, dataset: Path) -> None:
    config, _ = read_control(checkpoint, family_of(checkpoint))
    assert sorted(path.name for path in checkpoint.iterdir()) == ["config.json", "model.safetensors"]
    assert (config.trained_on, config.protocol, config.level_of_theory) == ("task2", "from-scratch", "MMFF94")
    assert (config.elements, config.training["edition"]) == ([1, 6, 7, 8], "tiny")
    assert config.training["data_hash"] == pin_training_files(dataset, "task2").content_hash
    assert (config.training["n_molecules"], config.training["n_frames"]) == (3, 75)
    chosen = config.settings[config.training["chosen_on_validation"]]
    errors = {float(value): error for value, error in config.training["validation_force_mae"].items()}
    assert min(errors, key=errors.__getitem__) == chosen


def test_traits_come_from_the_checkpoint(checkpoint: Path) -> None:
    assert identify(str(checkpoint)).family.name == checkpoint.name
    traits = load_potential(str(checkpoint), LoadOptions()).traits
    assert (traits.family, traits.trained_on, traits.protocol) == (checkpoint.name, "task2", "from-scratch")
    assert (traits.dtype, traits.device, traits.elements) == ("float64", "cpu", frozenset({1, 6, 7, 8}))
    assert traits.files.keys() == {"config.json", "model.safetensors"}
    assert traits.conservative is (checkpoint.name == "additive")


def test_checkpoint_gives_the_validation_error_that_was_reported(checkpoint: Path, dataset: Path) -> None:
    rows = read_split(pin_training_files(dataset, "task2"), "task2", "validation")
    batch = StructureBatch(rows.atomic_numbers, rows.positions, rows.n_atoms, tuple(rows.smiles))
    predicted = load_potential(str(checkpoint), LoadOptions()).compute(batch)
    training = read_control(checkpoint, family_of(checkpoint))[0].training
    error = np.abs(predicted.forces - rows.forces).mean()
    assert error == pytest.approx(min(training["validation_force_mae"].values()), rel=1e-6)
    assert error < {"additive": 0.1, "knn": 0.4}[checkpoint.name] * np.abs(rows.forces).mean()
    centred = [
        np.abs(difference - difference.mean()).mean()
        for difference in (predicted.energy - rows.energy).reshape(len(WORDS), -1)
    ]
    spread = [np.abs(each - each.mean()).mean() for each in rows.energy.reshape(len(WORDS), -1)]
    assert np.mean(centred) < {"additive": 0.1, "knn": 1.0}[checkpoint.name] * np.mean(spread)


def test_the_same_training_gives_the_same_bytes(checkpoint: Path, dataset: Path, tmp_path: Path) -> None:
    train(dataset, tmp_path / "again", family_of(checkpoint))
    for name in ("config.json", "model.safetensors"):
        assert (tmp_path / "again" / name).read_bytes() == (checkpoint / name).read_bytes()


@pytest.mark.parametrize("architecture", CONTROL_ARCHITECTURES)
def test_training_opens_no_test_file(
    architecture: ControlArchitecture, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if architecture == "knn":
        pytest.importorskip("torchani")
    opened: list[str] = []

    def guarded(function: Any) -> Any:
        def call(source: Any, *arguments: Any, **options: Any) -> Any:
            opened.append(str(source))
            assert "test_" not in Path(str(source)).name
            return function(source, *arguments, **options)

        return call

    monkeypatch.setattr(builtins, "open", guarded(builtins.open))
    monkeypatch.setattr(Path, "open", guarded(Path.open))
    monkeypatch.setattr(pq, "ParquetFile", guarded(pq.ParquetFile))
    monkeypatch.setattr(pq, "read_schema", guarded(pq.read_schema))
    train(dataset, tmp_path / "model", architecture)
    assert any("train-00000" in name for name in opened)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--channels", "32"), "--channels 32 has no effect on --arch additive; leave it out"),
        (("--epochs", "3"), "--epochs 3 has no effect on --arch additive"),
        (("--compile",), r"--compile \w+ has no effect"),
        (("--device", "cuda"), "fitted on the CPU only, not on 'cuda'"),
        (("--threads", "0"), "--threads 0; expected 1 or more"),
    ],
)
def test_options_that_mean_nothing(dataset: Path, tmp_path: Path, options: tuple[str, ...], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        train(dataset, tmp_path / "model", "additive", *options)
    assert not (tmp_path / "model").exists()


def test_finished_checkpoint_is_not_overwritten(dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UsageError, match="finished checkpoint; choose another --out"):
        train(dataset, tmp_path, "additive")


def test_validation_of_other_molecules(tmp_path: Path) -> None:
    training_data(tmp_path)
    write_split(tmp_path, "task2", "validation", frames_of(word("H", 2, "H"), "validation"))
    with pytest.raises(DataError, match="contains the molecule H-2-H, which train lacks"):
        read_control_data(tmp_path, "task2")


def test_settings_in_the_checkpoint_are_plain(checkpoint: Path) -> None:
    document = json.loads((checkpoint / "config.json").read_text())
    assert (document["format"], document["family"]) == ("mlip-ood-checkpoint", checkpoint.name)
    assert set(document["training"]["versions"]) >= {"numpy", "safetensors"}
