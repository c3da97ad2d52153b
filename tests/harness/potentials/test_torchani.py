"""What is particular to TorchANI: published state dicts, units, self energies, and files that are something else."""

import os
import shutil
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torchani")

import torch

from dataset_builders.core.errors import ModelError, UsageError
from dataset_builders.core.units import HARTREE
from harness.core.potential import LoadOptions, Potential
from harness.potentials.torchani import load
from harness.trust.pickles import sha256_of
from tests.harness.potentials.foundation_models import published, random_ani1x
from tests.harness.potentials.molecules import molecules, packed

METHANE = np.array(
    [
        [0.03192167, 0.00638559, 0.01301679],
        [-0.83140486, 0.39370209, -0.26395324],
        [-0.66518241, -0.84461308, 0.20759389],
        [0.45554739, 0.54289633, 0.81170881],
        [0.66091919, -0.16799635, -0.91037834],
    ]
)
"""The molecule of TorchANI's first example."""
CPU = LoadOptions(device="cpu")


class Malicious:
    """A pickle of it writes a file when it is loaded."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch '{self.target}'",)


@pytest.fixture(scope="module")
def ani2x() -> Path:
    return published("roitberg-group/ani2x/ani2x_state_dict.pt")


@pytest.fixture(scope="module")
def ani1x(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_ani1x(tmp_path_factory.mktemp("ani"))


def changed(path: Path, target: Path, **changes: Any) -> Path:
    """A copy of a state dict with tensors added, replaced or (`None`) removed."""
    state = torch.load(path, weights_only=True) | {name.replace("__", "."): value for name, value in changes.items()}
    torch.save({name: value for name, value in state.items() if value is not None}, target / path.name)
    return target / path.name


def in_double(path: Path) -> Potential:
    return load(path, LoadOptions(device="cpu", dtype="float64"))


def test_methane_has_the_published_energy(ani2x: Path) -> None:
    methane = packed([(np.array([6, 1, 1, 1, 1]), METHANE, "C")])
    # The published number is in single precision, where neighbours at 40 Hartree are 3.8e-6 apart.
    assert in_double(ani2x).compute(methane).energy[0] / HARTREE == pytest.approx(-40.459793, rel=0, abs=2e-6)


def test_traits_of_ani2x(ani2x: Path) -> None:
    traits = load(ani2x.parent, CPU).traits
    assert traits.elements == frozenset({1, 6, 7, 8, 9, 16, 17})
    assert (traits.family, traits.level_of_theory, traits.dtype) == ("torchani", "wB97X/6-31G(d)", "float32")
    assert traits.files == {"ani2x_state_dict.pt": sha256_of(ani2x)}
    assert (traits.packages, traits.protocol, traits.trained_on) == (("torchani", "torch"), "zero-shot", None)


def test_the_file_name_tells_ani1ccx_from_ani1x(ani1x: Path, tmp_path: Path) -> None:
    named = Path(shutil.copy(ani1x, tmp_path / "ani1ccx_state_dict.pt"))
    assert load(ani1x, CPU).traits.level_of_theory == "wB97X/6-31G(d)"
    assert load(named, CPU).traits.level_of_theory == "CCSD(T)*/CBS"
    np.testing.assert_array_equal(
        load(named, CPU).compute(molecules()).energy, load(ani1x, CPU).compute(molecules()).energy
    )


def test_nothing_is_fetched_or_cached(ani1x: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object) -> None:
        raise AssertionError("a connection was asked for")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setenv("TORCHANI_DATA_DIR", str(tmp_path / "cache"))
    load(ani1x, CPU).compute(molecules())
    assert not (tmp_path / "cache").exists()


def test_names_of_tensors_as_older_versions_wrote_them(ani1x: Path, tmp_path: Path) -> None:
    state = torch.load(ani1x, weights_only=True)
    older = tmp_path / ani1x.name
    torch.save({name.removeprefix("potentials.nnp."): value for name, value in state.items()}, older)
    np.testing.assert_array_equal(
        load(older, CPU).compute(molecules()).energy, load(ani1x, CPU).compute(molecules()).energy
    )


def test_an_isolated_atom_has_its_self_energy_in_double_precision(ani1x: Path, tmp_path: Path) -> None:
    exact = torch.tensor([-0.5978583943827134, -38.08933878049795, -54.711968298621066, -75.19106774742086]).double()
    state = torch.load(ani1x, weights_only=True)
    silent = {name: torch.zeros_like(value) for name, value in state.items() if "final_layer" in name}
    torch.save(state | silent | {"energy_shifter.self_energies": exact}, tmp_path / ani1x.name)
    atoms = packed([(np.array([8]), np.zeros((1, 3)), "O"), (np.array([1]), np.zeros((1, 3)), "[H]")])
    predicted = load(tmp_path, CPU).compute(atoms)
    np.testing.assert_array_equal(predicted.energy, HARTREE * exact.numpy()[[3, 0]])
    np.testing.assert_array_equal(predicted.forces, 0.0)


def test_single_precision_keeps_the_energy_of_many_atoms(ani2x: Path) -> None:
    """A total of -10,000 eV has steps of 1 meV in float32, the sum over atoms must not."""
    difference = load(ani2x, CPU).compute(molecules()).energy - in_double(ani2x).compute(molecules()).energy
    assert np.abs(difference).max() < 2e-6


@pytest.mark.parametrize("name", ["model.pt", "ani2xr.pt", "charge_nn_state_dict.pt"])
def test_an_unknown_ensemble_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(
        ModelError, match=rf"{name} is not a known ensemble; expected a file named one of: ani2x_state_dict\.pt"
    ):
        load(tmp_path / name, CPU)


def test_a_folder_needs_one_ensemble(ani1x: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"contains none of: ani2x_state_dict\.pt"):
        load(tmp_path, CPU)
    for name in ("ani1x_state_dict.pt", "ani1ccx_state_dict.pt"):
        shutil.copy(ani1x, tmp_path / name)
    with pytest.raises(ModelError, match=r"contains ani1x_state_dict\.pt ani1ccx_state_dict\.pt of: .* Give the path"):
        load(tmp_path, CPU)


def test_a_pickle_is_refused_and_not_run_even_with_trust(tmp_path: Path) -> None:
    path = tmp_path / "ani2x_state_dict.pt"
    torch.save({"atomic_numbers": torch.zeros(7), "run": Malicious(tmp_path / "created")}, path)
    with pytest.raises(ModelError, match=rf"sha256 {sha256_of(path)}.*more than tensors.*posix\.system"):
        load(path, LoadOptions(device="cpu", trust_checkpoint=True))
    assert not (tmp_path / "created").exists()


@pytest.mark.parametrize("content", [b"", b"no pickle at all", b"PK\x03\x04 this is no archive"])
def test_a_broken_file_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "ani2x_state_dict.pt"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"ani2x_state_dict\.pt"):
        load(path, CPU)


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"cannot read .*ani2x_state_dict\.pt: FileNotFoundError"):
        load(tmp_path / "ani2x_state_dict.pt", CPU)


@pytest.mark.parametrize("content", [[1, 2], {"weights": 1}, {1: torch.zeros(1)}])
def test_something_else_than_a_state_dict_is_named(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "ani2x_state_dict.pt")
    with pytest.raises(
        ModelError, match=rf"contains a {type(content).__name__}; expected a state dict, tensors by name"
    ):
        load(tmp_path, CPU)


def test_damage_does_no_more_than_be_named(tmp_path: Path) -> None:
    path = tmp_path / "ani1x_state_dict.pt"
    torch.save({"atomic_numbers": torch.arange(4)}, path)
    content = path.read_bytes()
    random = np.random.default_rng(3)
    for _ in range(300):
        damaged = bytearray(content)
        for place in random.integers(len(content), size=4):
            damaged[place] = random.integers(256)
        path.write_bytes(damaged[: random.integers(len(content) // 2, len(content))])
        with pytest.raises(ModelError, match=r"ani1x_state_dict\.pt"):
            load(path, CPU)


def test_another_ensemble_under_the_name_is_refused(ani1x: Path, tmp_path: Path) -> None:
    shutil.copy(ani1x, tmp_path / "ani2x_state_dict.pt")
    with pytest.raises(ModelError, match=r"has atomic numbers \(1, 6, 7, 8\); expected \(1, 6, 7, 8, 16, 9, 17\)"):
        load(tmp_path, CPU)


def test_other_tensors_than_those_of_the_networks_are_refused(ani1x: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"does not fit the networks of ani1x: .*surplus"):
        load(changed(ani1x, tmp_path, surplus=torch.zeros(1)), CPU)
    with pytest.raises(ModelError, match=r"lacks energy_shifter\.self_energies; expected the state dict of a complete"):
        load(changed(ani1x, tmp_path, energy_shifter__self_energies=None), CPU)


def test_half_precision_needs_a_choice(ani1x: Path, tmp_path: Path) -> None:
    state = torch.load(ani1x, weights_only=True)
    halved = {name: value.half() if name.endswith(".weight") else value for name, value in state.items()}
    torch.save(halved, tmp_path / ani1x.name)
    with pytest.raises(ModelError, match=r"was saved in float16; choose --dtype"):
        load(tmp_path, CPU)
    assert in_double(tmp_path).traits.dtype == "float64"


def test_a_readout_head_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no readout heads, so it takes no --head; leave out --head omol"):
        load(tmp_path, LoadOptions(device="cpu", head="omol"))
