"""The checkpoint format: what is written is read back, and whatever breaks it is named."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from dataset_builders.core.errors import ModelError
from harness.networks.architecture import NetworkArguments
from harness.networks.checkpoint_format import (
    CONFIG_FILE,
    WEIGHTS_FILE,
    file_hashes,
    read_config,
    read_tensors,
    write_checkpoint,
)
from tests.harness.small_checkpoint import SMALL_CONFIG

CONFIG = replace(
    SMALL_CONFIG,
    arguments=NetworkArguments(channels=4, radial_features=3, layers=1, cutoff=5.0),
    elements=(1, 6, 17),
    reference_energies={"H": -10.5, "C": -48.75, "Cl": -121.0},
)
TENSORS = {"a.weight": torch.arange(6.0).reshape(2, 3), "b": torch.tensor(2)}


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    write_checkpoint(tmp_path / "checkpoint", CONFIG, TENSORS)
    return tmp_path / "checkpoint"


def edit_config(checkpoint: Path, **changes: Any) -> None:
    path = checkpoint / CONFIG_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_round_trip(checkpoint: Path) -> None:
    assert read_config(checkpoint) == CONFIG
    found = read_tensors(checkpoint, TENSORS)
    assert found.keys() == TENSORS.keys()
    assert all(torch.equal(found[name], TENSORS[name]) for name in TENSORS)
    assert sorted(path.name for path in checkpoint.iterdir()) == [CONFIG_FILE, WEIGHTS_FILE]


def test_hashes_are_those_of_sha256sum(checkpoint: Path) -> None:
    (checkpoint / CONFIG_FILE).write_bytes(b"abc")
    # The test vector of FIPS 180-2 for the message "abc".
    assert file_hashes(checkpoint)[CONFIG_FILE] == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "other"}, "format is 'other'; expected mlip-ood-checkpoint"),
        ({"format_version": 3}, r"format_version is 3; expected one of \(1, 2\); a newer release"),
        ({"format_version": True}, r"format_version is True; expected one of \(1, 2\)"),
        ({"family": "mace"}, "family is 'mace'; expected one of graph-pes pyg"),
        ({"family": "pyg"}, "family is 'pyg'; expected graph-pes"),
        ({"baseline": "gfn2-xtb"}, "baseline is 'gfn2-xtb'; expected one of gfn1-xtb mmff94"),
        ({"started_from": "ANI-2x"}, "started_from is 'ANI-2x'; expected a JSON object"),
        ({"architecture": "os.system"}, "architecture is 'os.system'; expected one of PaiNN SchNet TensorNet"),
        ({"arguments": {"channels": 4}}, r"arguments is \['channels'\]; expected exactly channels"),
        (
            {"arguments": {"channels": 0, "radial_features": 3, "layers": 1, "cutoff": 5.0}},
            "arguments.channels is 0; expected a whole number of 1 or more",
        ),
        (
            {"arguments": {"channels": 4, "radial_features": 3, "layers": 1, "cutoff": -1.0}},
            "arguments.cutoff is -1.0; expected a length",
        ),
        (
            {"arguments": {"channels": 4, "radial_features": 3, "layers": 10**300, "cutoff": 5.0}},
            "arguments.layers is .*; expected a whole number from 1 to 1,000",
        ),
        (
            {"arguments": {"channels": 10**300, "radial_features": 3, "layers": 1, "cutoff": 5.0}},
            "arguments.channels is .*; expected a whole number from 1 to 100,000",
        ),
        (
            {"arguments": {"channels": 4, "radial_features": 3, "layers": 1, "cutoff": 10**400}},
            "arguments.cutoff is .*; expected a length",
        ),
        ({"elements": [6, 1, 17]}, r"elements is \[6, 1, 17\]; expected ascending"),
        ({"elements": [1, 6, 300]}, "expected ascending atomic numbers from 1 to 118"),
        ({"reference_energies": {"H": 1.0}}, "expected one energy in eV for each of H C Cl"),
        ({"reference_energies": {"H": 1.0, "C": float("nan"), "Cl": 0.0}}, "expected one energy in eV"),
        ({"dtype": "float16"}, "dtype is 'float16'; expected one of float32 float64"),
        ({"trained_on": None}, "trained_on is None; expected a non-empty string"),
    ],
)
def test_config_that_breaks_the_format(checkpoint: Path, changes: dict[str, Any], message: str) -> None:
    edit_config(checkpoint, **changes)
    with pytest.raises(ModelError, match=message):
        read_config(checkpoint)


@pytest.mark.parametrize("key", ["format", "elements", "training", "level_of_theory"])
def test_config_without_a_key(checkpoint: Path, key: str) -> None:
    document = json.loads((checkpoint / CONFIG_FILE).read_text())
    del document[key]
    (checkpoint / CONFIG_FILE).write_text(json.dumps(document))
    with pytest.raises(ModelError, match=f"has no '{key}'"):
        read_config(checkpoint)


@given(text=st.text())
def test_any_text_as_config_gives_a_model_error(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    directory = tmp_path_factory.mktemp("config")
    (directory / CONFIG_FILE).write_text(text, encoding="utf-8")
    with pytest.raises(ModelError, match=CONFIG_FILE):
        read_config(directory)


@given(
    value=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    ),
    key=st.sampled_from(["format_version", "architecture", "arguments", "elements", "reference_energies", "dtype"]),
)
def test_any_other_value_is_refused(tmp_path_factory: pytest.TempPathFactory, key: str, value: object) -> None:
    directory = tmp_path_factory.mktemp("config")
    (directory / CONFIG_FILE).write_text(json.dumps(CONFIG.as_document() | {key: value}), encoding="utf-8")
    if value == CONFIG.as_document()[key] and not isinstance(value, bool):
        assert read_config(directory) == CONFIG
    else:
        with pytest.raises(ModelError, match=CONFIG_FILE):
            read_config(directory)


def test_missing_config(checkpoint: Path) -> None:
    (checkpoint / CONFIG_FILE).unlink()
    with pytest.raises(ModelError, match=r"has no config\.json"):
        read_config(checkpoint)
    with pytest.raises(ModelError, match=r"has no config\.json"):
        file_hashes(checkpoint)


def test_missing_weights(checkpoint: Path) -> None:
    (checkpoint / WEIGHTS_FILE).unlink()
    with pytest.raises(ModelError, match=r"has no model\.safetensors"):
        read_tensors(checkpoint, TENSORS)
    with pytest.raises(ModelError, match=r"has no model\.safetensors"):
        file_hashes(checkpoint)


def test_corrupt_weights(checkpoint: Path) -> None:
    (checkpoint / WEIGHTS_FILE).write_bytes(b"not safetensors")
    with pytest.raises(ModelError, match="cannot be read as safetensors"):
        read_tensors(checkpoint, TENSORS)


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        ({"b": TENSORS["b"]}, r"lacks the tensor 'a\.weight' \(1 missing in all\)"),
        (TENSORS | {"c": torch.zeros(1)}, "contains the unexpected tensor 'c'"),
        (TENSORS | {"a.weight": torch.zeros(3, 2)}, r"'a\.weight' .* has shape \(3, 2\); expected \(2, 3\)"),
        (TENSORS | {"a.weight": torch.zeros(2, 3, dtype=torch.float64)}, r"is torch\.float64; expected torch\.float32"),
        (TENSORS | {"a.weight": torch.full((2, 3), float("inf"))}, "not finite"),
    ],
)
def test_tensors_that_do_not_fit(checkpoint: Path, stored: dict[str, torch.Tensor], message: str) -> None:
    save_file(stored, checkpoint / WEIGHTS_FILE)
    with pytest.raises(ModelError, match=message):
        read_tensors(checkpoint, TENSORS)
