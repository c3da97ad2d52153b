"""What is particular to AIMNet2: long-range terms, charge and spin, and folders that are incomplete or wrong."""

import json
import logging
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("aimnet")

import torch
from safetensors.torch import load_file, save_file

from dataset_builders.core.errors import ModelError, UsageError
from harness.core.batch import StructureBatch
from harness.core.potential import LoadOptions
from harness.potentials.aimnet2 import importing_aimnet, load
from harness.trust.pickles import sha256_of
from tests.harness.potentials.foundation_models import AIMNET2, AIMNET2_CONFIG, small_aimnet2
from tests.harness.potentials.molecules import molecules, packed, unpacked

CPU = LoadOptions(device="cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_aimnet2(tmp_path_factory.mktemp("aimnet2"))


def own_energies(path: Path, batch: StructureBatch, multiplicity: int = 1) -> list[float]:
    """Energies of the calculator that comes with AIMNet2."""
    from aimnet.calculators import AIMNet2ASE, AIMNet2Calculator
    from ase import Atoms

    calculator = AIMNet2ASE(AIMNet2Calculator(str(path), device="cpu"), charge=0, mult=multiplicity)
    return [
        Atoms(numbers=numbers, positions=positions, calculator=calculator).get_potential_energy()
        for numbers, positions, _ in unpacked(batch)
    ]


def rewritten(folder: Path, **changes: Any) -> Path:
    """The folder with other values in its config; `None` removes one."""
    config = {name: value for name, value in (AIMNET2_CONFIG | changes).items() if value is not None}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


def test_traits_come_from_the_folder(folder: Path) -> None:
    traits = load(folder, CPU).traits
    assert traits.elements == frozenset({1, 6, 7, 8, 9, 16, 17})
    assert traits.files == {name: sha256_of(folder / name) for name in ("config.json", "ensemble_0.safetensors")}
    assert (traits.family, traits.dtype, traits.level_of_theory) == ("aimnet2", "float32", "wB97M-D3(BJ)/def2-TZVPP")
    assert "aimnet" in traits.packages


@pytest.mark.parametrize(
    ("changes", "level"),
    [
        ({"family": None}, None),
        ({"family": "something-new"}, None),
        ({"family": None, "family_name": "aimnet2-b973c-2025-d3"}, "B97-3c"),
    ],
)
def test_the_level_of_theory_is_that_of_the_family(tmp_path: Path, changes: dict[str, Any], level: str | None) -> None:
    assert load(rewritten(small_aimnet2(tmp_path), **changes), CPU).traits.level_of_theory == level


@pytest.mark.parametrize(
    "changes",
    [{}, {"needs_dispersion": False}, {"needs_coulomb": False, "coulomb_mode": "none", "coulomb_sr_rc": None}],
)
def test_long_range_terms_are_those_of_the_calculator(tmp_path: Path, changes: dict[str, Any]) -> None:
    path = rewritten(small_aimnet2(tmp_path), **changes)
    assert load(path, CPU).compute(molecules()).energy == pytest.approx(
        own_energies(path, molecules()), rel=0, abs=1e-6
    )


def test_long_range_terms_count(tmp_path: Path) -> None:
    both = load(small_aimnet2(tmp_path), CPU).compute(molecules()).energy
    no_dispersion = load(rewritten(tmp_path, needs_dispersion=False), CPU).compute(molecules()).energy
    assert (both - no_dispersion < -0.01).all()


def test_molecules_are_neutral_singlets(tmp_path: Path) -> None:
    """A model with two channels of charge asks for the spin, and answers otherwise for a triplet."""
    path = small_aimnet2(tmp_path, model_yaml=AIMNET2.replace("num_charge_channels: 1", "num_charge_channels: 2"))
    predicted = load(path, CPU).compute(molecules()).energy
    assert predicted == pytest.approx(own_energies(path, molecules()), rel=0, abs=1e-6)
    assert np.abs(predicted - own_energies(path, molecules(), multiplicity=3)).min() > 1e-4


def test_total_energies_are_summed_in_double_precision(folder: Path) -> None:
    """Nothing but the long-range terms acts over 50 Å, so two atoms that far apart add up."""
    far = packed([(np.array([17, 9]), np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 50.0]]), "FCl")])
    single = packed([(np.array([17]), np.zeros((1, 3)), "[Cl]"), (np.array([9]), np.zeros((1, 3)), "[F]")])
    potential = load(folder, CPU)
    assert abs(potential.compute(single).energy.sum()) > 5000.0
    assert potential.compute(far).energy[0] == pytest.approx(potential.compute(single).energy.sum(), rel=0, abs=1e-3)


def test_importing_leaves_output_and_logging_as_they_were(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    before = root.level, list(root.handlers)
    with importing_aimnet():
        print("Warp 1.19.0 initialized")
        root.setLevel(logging.INFO)
        root.addHandler(logging.StreamHandler())
    assert (root.level, list(root.handlers)) == before
    assert capsys.readouterr().out == ""


def test_a_relative_path_is_no_name_of_the_registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_aimnet2(tmp_path / "aimnet2")
    monkeypatch.chdir(tmp_path)
    assert load(Path("aimnet2"), CPU).traits.model_id == "aimnet2"


def test_what_is_missing_is_not_fetched_from_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object) -> None:
        raise AssertionError("a connection was asked for")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    path = rewritten(small_aimnet2(tmp_path), model_yaml=None, member_names=["aimnet2-wb97m-d3_0"])
    with pytest.raises(ModelError, match=r"has no model_yaml, .* results would not be reproducible"):
        load(path, CPU)


@pytest.mark.parametrize("name", ["config.json", "ensemble_0.safetensors"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    (small_aimnet2(tmp_path) / name).unlink()
    with pytest.raises(ModelError, match=rf"cannot read the checkpoint .*{name}"):
        load(tmp_path, CPU)


@pytest.mark.parametrize(
    ("content", "match"), [("{", "cannot read .*config.json"), ("[]", "contains a list; expected a JSON")]
)
def test_a_config_that_is_no_object_is_named(tmp_path: Path, content: str, match: str) -> None:
    (small_aimnet2(tmp_path) / "config.json").write_text(content)
    with pytest.raises(ModelError, match=match):
        load(tmp_path, CPU)


@pytest.mark.parametrize("species", [None, [], [1, "C"], [True]])
def test_elements_have_to_be_listed(tmp_path: Path, species: list[object] | None) -> None:
    path = rewritten(small_aimnet2(tmp_path), implemented_species=species)
    with pytest.raises(ModelError, match=r"has implemented_species .*; expected a list of atomic numbers"):
        load(path, CPU)


def test_a_config_that_names_other_code_is_refused(tmp_path: Path) -> None:
    path = rewritten(small_aimnet2(tmp_path), model_yaml="class: os.system\nkwargs: {}")
    with pytest.raises(ModelError, match=r"cannot load .*Untrusted import path.*'os\.system'"):
        load(path, LoadOptions(device="cpu", trust_checkpoint=True))


def test_the_precision_of_the_file_is_that_of_its_weights(tmp_path: Path) -> None:
    weights = small_aimnet2(tmp_path) / "ensemble_0.safetensors"
    assert load(tmp_path, CPU).traits.saved_dtype == "float32"
    state = load_file(weights)
    save_file({name: value.double() if value.is_floating_point() else value for name, value in state.items()}, weights)
    traits = load(tmp_path, CPU).traits
    assert (traits.dtype, traits.saved_dtype) == ("float32", "float64")


def test_broken_weights_are_named(tmp_path: Path) -> None:
    (small_aimnet2(tmp_path) / "ensemble_0.safetensors").write_bytes(b"no tensors")
    with pytest.raises(ModelError, match=r"cannot load .*SafetensorError"):
        load(tmp_path, CPU)


@pytest.mark.parametrize("change", ["lacking", "misshapen"])
def test_weights_of_another_model_are_refused(tmp_path: Path, change: str) -> None:
    weights = small_aimnet2(tmp_path) / "ensemble_0.safetensors"
    state = load_file(weights)
    name = "mlps.0.0.weight"
    others = {key: value for key, value in state.items() if key != name}
    save_file(others if change == "lacking" else others | {name: torch.zeros(2, 2)}, weights)
    with pytest.raises(ModelError, match=r"cannot load .*mlps\.0\.0\.weight"):
        load(tmp_path, CPU)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"dtype": "float64"}, "in float32 only, not in 'float64'"),
        ({"head": "1"}, "no readout heads, so it takes no --head; leave out --head 1"),
    ],
)
def test_what_it_does_not_offer_is_refused(folder: Path, options: dict[str, Any], match: str) -> None:
    with pytest.raises(UsageError, match=match):
        load(folder, LoadOptions(device="cpu", **options))
