"""What is particular to MACE: heads, charge and spin, precision, and files that are something else."""

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dataset_builders.core.errors import ModelError
from harness.core.batch import StructureBatch
from harness.core.potential import LoadOptions, Potential
from harness.models.registry import load_potential
from tests.harness.potentials.molecules import molecules, packed, saved, small_mace, unpacked

pytest.importorskip("mace")

TRUSTED = LoadOptions(device="cpu", trust_checkpoint=True)
CHARGE_AND_SPIN = {
    "total_charge": {"type": "continuous", "per": "graph", "in_dim": 1, "emb_dim": 4},
    "total_spin": {"type": "categorical", "per": "graph", "num_classes": 5, "emb_dim": 4},
}


def load(path: Path, **options: Any) -> Potential:
    return load_potential(str(path), LoadOptions(device="cpu", trust_checkpoint=True, **options))


def own_energies(path: Path, batch: StructureBatch, head: str | None = None) -> list[float]:
    """Energies of the calculator that comes with MACE."""
    from ase import Atoms
    from mace.calculators import MACECalculator

    calculator = MACECalculator(models=torch.load(path, weights_only=False), default_dtype="float64", head=head)
    return [
        Atoms(numbers=numbers, positions=positions, calculator=calculator).get_potential_energy()
        for numbers, positions, _ in unpacked(batch)
    ]


@pytest.fixture(autouse=True)
def _weights_only_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", raising=False)


@pytest.fixture(scope="module")
def two_heads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = small_mace(heads=["omol", "default"], embedding_specs=CHARGE_AND_SPIN, use_embedding_readout=True)
    return saved(model, tmp_path_factory.mktemp("heads") / "two.model")


def test_loading_leaves_pickles_as_guarded_as_before(mace_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "mace")  # so that it is imported, and sets the variable, once more
    load(mace_checkpoint)
    assert "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD" not in os.environ
    with pytest.raises(Exception, match=r"weights_only|Weights only"):
        torch.load(mace_checkpoint)


def test_a_setting_of_the_user_is_kept(mace_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "0")
    load(mace_checkpoint)
    assert os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] == "0"


def test_an_untrusted_file_is_refused_with_what_it_imports(mace_checkpoint: Path) -> None:
    with pytest.raises(ModelError, match=r"torch\.fx\.graph_module\.reduce_graph_module and others \(.*of mace"):
        load_potential(str(mace_checkpoint), LoadOptions(device="cpu"))


def test_traits_come_from_the_file(mace_checkpoint: Path) -> None:
    traits = load(mace_checkpoint).traits
    assert (traits.family, traits.dtype, traits.head) == ("mace", "float64", None)
    assert traits.elements == frozenset({1, 6, 7, 8})
    assert list(traits.files) == ["small.model"]
    assert traits.packages == ("mace-torch", "e3nn", "torch")


@pytest.mark.parametrize(("wanted", "head"), [(None, "default"), ("omol", "omol"), ("default", "default")])
def test_the_default_head_or_the_chosen_one_answers(two_heads: Path, wanted: str | None, head: str) -> None:
    potential = load(two_heads, head=wanted)
    assert potential.traits.head == head
    # Charge and spin enter through an energy of their own, which MACE leaves out of its atomic energies.
    expected = own_energies(two_heads, molecules(), head)
    assert potential.compute(molecules()).energy == pytest.approx(expected, rel=0, abs=1e-9)


def test_an_unknown_head_lists_the_known_ones(two_heads: Path) -> None:
    with pytest.raises(ModelError, match="has no head 'mp'; its heads are: omol default"):
        load(two_heads, head="mp")


def test_several_heads_and_no_default_need_a_choice(two_heads: Path, tmp_path: Path) -> None:
    model = torch.load(two_heads, weights_only=False)
    model.heads = ["omol", "spice"]
    with pytest.raises(ModelError, match="no default; choose one with --head: omol spice"):
        load(saved(model, tmp_path / "undecided.model"))


def test_single_precision_keeps_the_energy_of_many_atoms(mace_checkpoint: Path) -> None:
    """A total of -8,000 eV has steps of 0.5 meV in float32, the sum over atoms must not."""
    double = load(mace_checkpoint).compute(molecules()).energy
    single = load(mace_checkpoint, dtype="float32").compute(molecules()).energy
    shaken_double = load(mace_checkpoint).compute(molecules(seed=8)).energy
    shaken_single = load(mace_checkpoint, dtype="float32").compute(molecules(seed=8)).energy
    np.testing.assert_allclose(shaken_single - single, shaken_double - double, rtol=0, atol=2e-6)


def test_an_isolated_atom_has_the_energy_of_its_element(mace_checkpoint: Path) -> None:
    potential = load(mace_checkpoint)
    far = packed([(np.array([8, 1]), np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 50.0]]), "[OH]")])
    single = packed([(np.array([8]), np.zeros((1, 3)), "O"), (np.array([1]), np.zeros((1, 3)), "[H]")])
    assert potential.compute(far).energy[0] == pytest.approx(potential.compute(single).energy.sum(), abs=1e-9)
    np.testing.assert_array_equal(potential.compute(far).forces, 0.0)


@pytest.mark.parametrize("content", [{"state_dict": {}}, torch.nn.Linear(1, 1)])
def test_another_kind_of_model_is_named(tmp_path: Path, content: object) -> None:
    with pytest.raises(
        ModelError, match=f"contains a {type(content).__name__}; expected a complete MACE or ScaleShiftMACE"
    ):
        load(saved(content, tmp_path / "other.model"))


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "broken.model"
    path.write_bytes(b"PK\x03\x04 this is no archive")
    with pytest.raises(
        ModelError, match=r"cannot load .*broken\.model: .*Expected a complete model saved by mace-torch"
    ):
        load(path)


def test_a_class_that_is_gone_is_named(tmp_path: Path) -> None:
    path = tmp_path / "gone.model"
    path.write_bytes(b"\x80\x02cmace.modules.no_such_module\nGone\n.")
    with pytest.raises(ModelError, match=r"cannot load .*gone\.model"):
        load(path)


def test_an_old_checkpoint_that_lacks_something_is_named(mace_checkpoint: Path, tmp_path: Path) -> None:
    model = torch.load(mace_checkpoint, weights_only=False)
    del model.r_max
    with pytest.raises(ModelError, match="lacks r_max: an old version of mace saved it"):
        load(saved(model, tmp_path / "lacking.model"))


def test_a_checkpoint_that_loads_but_does_not_run_is_named(mace_checkpoint: Path, tmp_path: Path) -> None:
    model = torch.load(mace_checkpoint, weights_only=False)
    del model.scale_shift
    with pytest.raises(ModelError, match=r"loads but does not run: AttributeError: .*scale_shift"):
        load(saved(model, tmp_path / "not-running.model"))


def test_an_unknown_question_about_a_molecule_is_named(tmp_path: Path, two_heads: Path) -> None:
    model = torch.load(two_heads, weights_only=False)
    model.embedding_specs = {"temperature": CHARGE_AND_SPIN["total_charge"]}
    with pytest.raises(ModelError, match="needs temperature of each molecule; the harness provides total_charge"):
        load(saved(model, tmp_path / "asking.model"))
