"""Checkpoints of the fitted controls: what is written is read, and a damaged one is named."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from dataset_builders.core.errors import ModelError
from harness.core.potential import LoadOptions
from harness.networks.control_checkpoints import ControlConfig, read_control, write_control
from harness.potentials import additive, knn

CONFIG = ControlConfig(
    family="additive",
    settings={"ridge": 1.0},
    elements=[1, 17],
    reference_energies={"H": -10.0, "Cl": -120.0},
    trained_on="task2",
    level_of_theory="GFN2-xTB",
    training={"edition": "tiny"},
)
TENSORS = {
    "origin/Cl1sp3-H": np.array([1.3, 0.1]),
    "stretch/Cl1sp3-H": np.array([0.0, 3.0, 0.0, 0.0]),
    "atom/H": np.array([0.5]),
}
KNN = CONFIG.model_copy(update={"family": "knn", "settings": {"n_neighbours": 2.0}})
FRAMES = {
    "atomic_numbers": np.array([1, 17, 1, 17], dtype=np.uint8),
    "positions": np.array([[0, 0, 0], [1.3, 0, 0], [0, 0, 0], [1.4, 0, 0]], dtype=np.float32),
    "forces": np.zeros((4, 3), dtype=np.float32),
    "n_atoms": np.array([2, 2]),
    "energy": np.array([0.0, 0.1]),
}


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    write_control(tmp_path, CONFIG, TENSORS)
    return tmp_path


def test_what_is_written_is_read(checkpoint: Path) -> None:
    config, tensors = read_control(checkpoint, "additive")
    assert config == CONFIG
    assert tensors.keys() == TENSORS.keys()
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(tensor, TENSORS[name])


def rewrite(checkpoint: Path, **changes: Any) -> None:
    document = json.loads((checkpoint / "config.json").read_text()) | changes
    (checkpoint / "config.json").write_text(json.dumps(document))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "other"}, "format = 'other': Input should be 'mlip-ood-checkpoint'"),
        ({"format_version": 2}, "format_version = '2': Input should be 1.*release of this package that wrote it"),
        ({"family": "svm"}, "family = 'svm': Input should be 'knn' or 'additive'"),
        ({"settings": {"ridge": -1.0}}, "settings.ridge = '-1.0': Input should be greater than 0"),
        ({"elements": [17, 1]}, r"elements \[17, 1\] with reference energies of"),
        ({"elements": [1, 6]}, r"elements \[1, 6\] with reference energies of \['H', 'Cl'\]"),
        (
            {"reference_energies": {"H": "many", "Cl": 1.0}},
            "reference_energies.H = 'many': Input should be a valid number",
        ),
        ({"surprise": 1}, "surprise: unknown key"),
    ],
)
def test_config_that_this_version_does_not_know(checkpoint: Path, changes: dict[str, Any], message: str) -> None:
    rewrite(checkpoint, **changes)
    with pytest.raises(ModelError, match=message):
        read_control(checkpoint, "additive")


@given(text=st.text())
def test_any_text_as_config_gives_a_model_error(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    directory = tmp_path_factory.mktemp("config")
    (directory / "config.json").write_text(text, encoding="utf-8")
    with pytest.raises(ModelError, match=r"config\.json"):
        read_control(directory, "additive")


def test_another_family(checkpoint: Path) -> None:
    with pytest.raises(ModelError, match="has the family additive; expected knn"):
        knn.load(checkpoint, LoadOptions())


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_missing_file(checkpoint: Path, name: str) -> None:
    (checkpoint / name).unlink()
    with pytest.raises(ModelError, match=name):
        read_control(checkpoint, "additive")


def test_corrupt_weights(checkpoint: Path) -> None:
    (checkpoint / "model.safetensors").write_bytes(b"not safetensors")
    with pytest.raises(ModelError, match="cannot be read as safetensors"):
        read_control(checkpoint, "additive")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"atom/H": np.array([np.nan])}, "'atom/H' .* not finite"),
        ({"stretch/H-H": np.zeros(3)}, r"is float64 of shape \(3,\); expected float64 of shape \(4,\)"),
        ({"atom/H": np.zeros(1, dtype=np.float32)}, "is float32 of shape"),
        ({"layers.0.weight": np.zeros(3)}, r"unexpected tensor 'layers\.0\.weight'"),
        ({"origin/H-H": np.array([1.0, 0.0])}, r"has spread 0\.0; expected a positive number"),
    ],
)
def test_coefficients_that_do_not_fit(checkpoint: Path, changes: dict[str, Any], message: str) -> None:
    save_file(TENSORS | changes, checkpoint / "model.safetensors")
    with pytest.raises(ModelError, match=message):
        additive.load(checkpoint, LoadOptions())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"forces": np.zeros((4, 3))}, r"forces \(float64\).*; expected .*forces \(float32\)"),
        ({"forces": np.zeros((3, 3), dtype=np.float32)}, r"'forces' .* has shape \(3, 3\); expected \(4, 3\)"),
        ({"energy": np.zeros(3)}, r"'energy' .* has shape \(3,\); expected \(2,\)"),
        ({"n_atoms": np.array([2, 3])}, "contains 2 frames with 5 atoms in total, 4 atomic numbers"),
        ({"n_atoms": np.array([4, 0])}, "expected complete frames"),
        ({"atomic_numbers": np.array([1, 1, 1, 1], dtype=np.uint8)}, r"the elements \[1\]; expected .* \[1, 17\]"),
    ],
)
def test_frames_that_do_not_fit(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    write_control(tmp_path, KNN, FRAMES | changes)
    with pytest.raises(ModelError, match=message):
        knn.load(tmp_path, LoadOptions())


@pytest.mark.parametrize("settings", [{}, {"n_neighbours": 0.5}, {"n_neighbours": 1.5}])
def test_number_of_neighbours(tmp_path: Path, settings: dict[str, float]) -> None:
    write_control(tmp_path, KNN.model_copy(update={"settings": settings}), FRAMES)
    with pytest.raises(ModelError, match=r"settings\.n_neighbours is .*; expected a whole number of 1 or more"):
        knn.load(tmp_path, LoadOptions())
