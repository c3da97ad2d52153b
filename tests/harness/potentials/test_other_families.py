"""The contract, and what is particular to families whose published weights are gated or need a newer Python.

Small models with random weights are made and computed in each family's own environment; without it those tests are
skipped. What an adapter hands to its package, in which units, is checked everywhere, against stand-ins for the one
class or function of the package that takes it.
"""

import contextlib
import json
import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType, ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from dataset_builders.core.errors import ModelError, UsageError
from dataset_builders.core.units import BOHR, HARTREE, HARTREE_PER_BOHR
from harness.compute.neighbours import packed_neighbours
from harness.compute.torch_potential import pack
from harness.compute.trial import tried_with
from harness.core.batch import Prediction, StructureBatch
from harness.core.known_checkpoints import level_of_file
from harness.core.potential import LoadOptions, Potential, PotentialTraits
from harness.potentials import fairchem, mattersim, metatomic, orb, torchsim
from harness.worker.client import WorkerPotential, WorkerSpec
from tests.harness.potentials import test_contract
from tests.harness.potentials.molecules import molecules
from tests.harness.potentials.other_interpreter import Arrays, own_numbers, python_of, run_elsewhere
from tests.harness.potentials.test_contract import (  # noqa: F401 (the one contract, on the fixtures of this module)
    Case,
    in_float32,
    test_a_batch_equals_its_structures_one_by_one,
    test_an_element_without_parameters_is_refused,
    test_forces_are_minus_the_derivative_of_the_energy,
    test_forces_are_not_all_alike,
    test_shapes_dtypes_and_finite_values,
    test_single_precision_positions_and_small_integers_are_taken,
    test_the_input_is_left_untouched,
    test_the_order_of_atoms_does_not_matter,
    test_the_order_of_structures_does_not_matter,
    test_traits_describe_the_potential,
    test_translation_changes_nothing,
)

NOT_EQUIVARIANT = {"orb", "metatomic"}
"""Families that learn from data how forces turn with a molecule, so that a random model does not know."""


def make_fairchem(_: Arrays, path: str, direct: bool = False) -> Arrays:
    """Runs in fairchem's environment: a random UMA with two tasks, or a random eSEN with forces of its own."""
    import hydra
    import torch
    from fairchem.core.units.mlip_unit.api.inference import MLIPInferenceCheckpoint

    core, experts = "fairchem.core", "fairchem.core.models.uma.escn_moe"
    tasks = ["omol"] if direct else ["omol", "omat"]
    references = [0.0] * 100
    for number, energy in {1: -13.6, 6: -1030.0, 7: -1485.0, 8: -2042.0}.items():
        references[number] = energy

    def task(name, level, wanted):
        shape = {"dim": [1] if level == "system" else [3], "dtype": "float32"}
        norm = {"_target_": f"{core}.modules.normalization.normalizer.Normalizer", "mean": 0.0, "rmsd": 2.7}
        made = {"name": f"{name}_{wanted}", "level": level, "property": wanted, "datasets": [name], "normalizer": norm}
        made["_target_"] = f"{core}.units.mlip_unit.mlip_unit.Task"
        made["out_spec"] = {"_target_": f"{core}.units.mlip_unit.mlip_unit.OutputSpec", **shape}
        if wanted == "energy":
            made["element_references"] = {
                "_target_": f"{core}.modules.normalization.element_references.ElementReferences",
                "element_references": {"_target_": "torch.DoubleTensor", "_args_": [references]},
            }
        return made

    def head(kind, **arguments):
        module = f"{experts}.DatasetSpecificSingleHeadWrapper"
        return {"module": module, "head_cls": f"{core}.models.uma.escn_md.{kind}", "dataset_names": tasks, **arguments}

    heads = {"efs": head("MLP_EFS_Head", head_kwargs={"wrap_property": False})}
    if direct:
        heads = {
            "energy": head("MLP_Energy_Head", head_kwargs={"wrap_property": False}),
            "forces": head("Linear_Force_Head"),
        }
    small = {"sphere_channels": 8, "hidden_channels": 8, "edge_channels": 8, "num_distance_basis": 16, "num_layers": 2}
    config = {
        "_target_": f"{core}.models.base.HydraModel",
        "model_id": "UMA-S-1.2",
        "pass_through_head_outputs": True,
        "heads": heads,
        "backbone": {
            "model": f"{experts}.eSCNMDMoeBackbone",
            "num_experts": 0 if direct else 4,
            "moe_layer_type": "pytorch",
            "max_num_elements": 100,
            "cutoff": 6.0,
            "otf_graph": True,
            "act_type": "gate",
            "ff_type": "spectral",
            "direct_forces": direct,
            "dataset_list": tasks,
            **small,
        },
    }
    torch.manual_seed(3)
    model = hydra.utils.instantiate(config)
    average = torch.optim.swa_utils.AveragedModel(model)
    wanted = [task(name, *each) for name in tasks for each in (("system", "energy"), ("atom", "forces"))]
    torch.save(MLIPInferenceCheckpoint(config, model.state_dict(), average.state_dict(), wanted), path)
    return {}


def own_fairchem(path: str, task: str = "omol", dtype: str = "float32") -> Any:
    from fairchem.core.calculate.ase_calculator import FAIRChemCalculator
    from fairchem.core.units.mlip_unit import InferenceSettings, load_predict_unit

    settings = InferenceSettings(base_precision_dtype=dtype)
    return FAIRChemCalculator(load_predict_unit(path, inference_settings=settings, device="cpu"), task_name=task)


def make_orb(_: Arrays, path: str, kind: str = "conservative", **arguments: Any) -> Arrays:
    """Runs in Orb's environment: random weights in the form of a published model."""
    import torch
    from orb_models.forcefield import pretrained

    torch.manual_seed(3)
    network = getattr(pretrained, f"orb_v3_{kind}_architecture")(device="cpu", **arguments)
    torch.save(network.state_dict(), path)
    return {}


def own_orb(path: str, model: str, precision: str = "float32-highest") -> Any:
    from orb_models.forcefield import pretrained
    from orb_models.forcefield.inference.calculator import ORBCalculator

    class Neutral(ORBCalculator):
        def calculate(self, atoms=None, *arguments):
            atoms.info.update(charge=0, spin=1)
            super().calculate(atoms, *arguments)

    load = pretrained.ORB_PRETRAINED_MODELS[model]
    network, adapter = load(weights_path=path, device="cpu", precision=precision, compile=False)
    return Neutral(network, adapter, device="cpu")


def make_mattersim(_: Arrays, path: str, lacks: str = "") -> Arrays:
    """Runs in MatterSim's environment: a small random model, of which one weight may be left out."""
    import torch
    from mattersim.forcefield.m3gnet.m3gnet import M3Gnet
    from mattersim.forcefield.potential import Potential as Mattersim

    torch.manual_seed(3)
    network = M3Gnet(num_blocks=2, units=16, device="cpu")
    network.normalizer.shift.copy_(-torch.arange(95.0))
    network.normalizer.scale.fill_(20.0)
    Mattersim(network, device="cpu").save(path)
    if lacks:
        stored = torch.load(path, weights_only=True)
        del stored["model"][lacks]
        torch.save(stored, path)
    return {}


def own_mattersim(path: str, dtype: str = "float32") -> Any:
    from mattersim.forcefield.potential import MatterSimCalculator
    from mattersim.forcefield.potential import Potential as Mattersim

    return MatterSimCalculator(Mattersim.from_checkpoint(path, device="cpu"), device="cpu", dtype=dtype)


def make_pet(_: Arrays, path: str, units: tuple[str, str] = ("angstrom", "eV"), conditioned: bool = False) -> Arrays:
    """Runs in metatomic's environment: a small random PET, as a checkpoint or exported."""
    import torch
    from metatrain.pet import PET
    from metatrain.utils.architectures import get_default_hypers
    from metatrain.utils.data import DatasetInfo
    from metatrain.utils.data.target_info import get_energy_target_info

    hypers = get_default_hypers("pet")["model"]
    hypers.update(d_pet=8, d_node=8, d_head=8, d_feedforward=16, num_heads=2, system_conditioning=conditioned)
    length, energy = units
    target = get_energy_target_info("energy", {"unit": energy, "quantity": "energy"})
    torch.manual_seed(3)
    model = PET(hypers, DatasetInfo(length_unit=length, atomic_types=[1, 6, 7, 8], targets={"energy": target}))
    if path.endswith(".ckpt"):
        torch.save(model.get_checkpoint(), path)
    else:
        model.export().save(path)
    return {}


def own_metatomic(path: str, dtype: str | None = None) -> Any:
    from metatomic_ase import MetatomicCalculator
    from upet.calculator import UPETCalculator

    if path.endswith(".ckpt"):
        return UPETCalculator(checkpoint_path=path, dtype=dtype, device="cpu")
    return MetatomicCalculator(path, device="cpu")


def make_recipe(_: Arrays, path: str) -> Arrays:
    """A recipe of TorchSim's Lennard-Jones potential, whose cutoff reaches beyond every molecule here."""
    from pathlib import Path

    model = '"factory": "torch_sim.models.lennard_jones:LennardJonesModel"'
    arguments = '"arguments": {"sigma": 1.1, "epsilon": 0.005, "cutoff": 50.0}'
    Path(path).write_text(f'{{{model}, {arguments}, "elements": [1, 6, 7, 8], "conservative": true}}', encoding="utf-8")
    return {}


def own_lennard_jones(path: str) -> Any:
    from ase.calculators.lj import LennardJones

    return LennardJones(sigma=1.1, epsilon=0.005, rc=50.0)


@dataclass(frozen=True)
class Made:
    """A random model: its family and file, what makes it, and the family's own calculator of it."""

    family: str
    name: str
    make: Callable[..., Arrays]
    calculator: Callable[..., Any]
    dtype: str | None = None
    made_with: Mapping[str, Any] = field(default_factory=dict)
    calculated_with: Mapping[str, Any] = field(default_factory=dict)

    @property
    def case(self) -> Case:
        """How exact it has to be."""
        options = LoadOptions(device="cpu", trust_checkpoint=True, dtype=self.dtype)  # type: ignore[arg-type]
        return Case(self.name, options) if self.dtype == "float64" else in_float32(self.name, options)


CHARGED = {"has_charge_spin_cond": True, "has_stress": False}
MODELS = {
    "uma": Made("fairchem", "uma-random.pt", make_fairchem, own_fairchem),
    "esen-direct": Made(
        "fairchem",
        "esen_direct.pt",
        make_fairchem,
        own_fairchem,
        "float64",
        made_with={"direct": True},
        calculated_with={"dtype": "float64"},
    ),
    "orb-v3-conservative": Made(
        "orb",
        "orb-v3-conservative-inf-omat.ckpt",
        make_orb,
        own_orb,
        calculated_with={"model": "orb-v3-conservative-inf-omat"},
    ),
    "orb-v3-direct-20": Made(
        "orb",
        "orb-v3-direct-20-mpa.ckpt",
        make_orb,
        own_orb,
        "float64",
        made_with={"kind": "direct"},
        calculated_with={"model": "orb-v3-direct-20-mpa", "precision": "float64"},
    ),
    "orbmol-v2-float64": Made(
        "orb",
        "orbmol-v2.ckpt",
        make_orb,
        own_orb,
        "float64",
        made_with=CHARGED | {"has_electrostatics": True},
        calculated_with={"model": "orbmol-v2", "precision": "float64"},
    ),
    "mattersim": Made("mattersim", "mattersim-random.pth", make_mattersim, own_mattersim),
    "pet-float64": Made(
        "metatomic", "pet-random.ckpt", make_pet, own_metatomic, "float64", calculated_with={"dtype": "float64"}
    ),
    "pet-conditioned": Made(
        "metatomic", "pet-conditioned.ckpt", make_pet, own_metatomic, made_with={"conditioned": True}
    ),
    "pet-exported": Made("metatomic", "pet-random.pt", make_pet, own_metatomic),
    "torchsim": Made("torchsim", "torchsim.json", make_recipe, own_lennard_jones, "float64"),
}


def made(folder: Path, model: Made) -> Path:
    """The file of a random model."""
    path = folder / model.name
    run_elsewhere(model.family, model.make, path=str(path), **model.made_with)
    return path


def worker(family: str, path: Path, options: LoadOptions) -> WorkerPotential:
    return WorkerPotential(WorkerSpec(f"harness.potentials.{family}", path, options, python_of(family)))


@pytest.fixture(scope="module", params=list(MODELS.values()), ids=list(MODELS))
def model(request: pytest.FixtureRequest) -> Made:
    selected: Made = request.param
    return selected


@pytest.fixture(scope="module")
def case(model: Made) -> Case:
    return model.case


@pytest.fixture(scope="module")
def checkpoint(model: Made, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp(model.family), model)


@pytest.fixture(scope="module")
def potential(model: Made, checkpoint: Path) -> Iterator[Potential]:
    with contextlib.closing(worker(model.family, checkpoint, model.case.options)) as started:
        yield started


def test_agrees_with_the_calculator_of_its_own_family(
    model: Made, checkpoint: Path, prediction: Prediction, batch: StructureBatch
) -> None:
    arguments = [{"path": str(checkpoint), **model.calculated_with}]
    ((energy, forces),) = own_numbers(model.family, model.calculator, batch, arguments)
    np.testing.assert_allclose(prediction.energy, energy, rtol=0, atol=1e-8 if model.dtype == "float64" else 1e-5)
    np.testing.assert_allclose(prediction.forces, forces, rtol=0, atol=1e-7 if model.dtype == "float64" else 1e-5)


def test_rotation_turns_the_forces_and_keeps_the_energy(
    potential: Potential, case: Case, prediction: Prediction, batch: StructureBatch
) -> None:
    if potential.traits.family in NOT_EQUIVARIANT:
        pytest.skip("this family learns from data how forces turn with a molecule")
    test_contract.test_rotation_turns_the_forces_and_keeps_the_energy(potential, case, prediction, batch)


def test_direct_forces_are_reported(potential: Potential, model: Made) -> None:
    assert potential.traits.conservative == ("direct" not in model.name)


def test_a_task_of_uma_is_chosen_as_a_head(batch: StructureBatch, tmp_path: Path) -> None:
    path = made(tmp_path, MODELS["uma"])
    options = LoadOptions(device="cpu", trust_checkpoint=True, head="omat")
    with contextlib.closing(worker("fairchem", path, options)) as potential:
        energy = potential.compute(batch).energy
        assert potential.traits.head == "omat"
    choices = [{"path": str(path), "task": task} for task in ("omat", "omol")]
    omat, omol = (numbers for numbers, _ in own_numbers("fairchem", own_fairchem, batch, choices))
    np.testing.assert_allclose(energy, omat, rtol=0, atol=1e-5)
    assert np.abs(omat - omol).min() > 1e-4
    with pytest.raises(ModelError, match="has no task 'oc20'; its tasks are: omol omat"):
        worker("fairchem", path, LoadOptions(device="cpu", trust_checkpoint=True, head="oc20"))


def test_hartree_and_bohr_of_a_metatomic_model_become_ev_and_angstrom(batch: StructureBatch, tmp_path: Path) -> None:
    plain = made(tmp_path, MODELS["pet-float64"])
    atomic = made(
        tmp_path, Made("metatomic", "b.ckpt", make_pet, own_metatomic, made_with={"units": ("bohr", "hartree")})
    )
    options = MODELS["pet-float64"].case.options
    wider = StructureBatch(batch.atomic_numbers, batch.positions / BOHR, batch.n_atoms, batch.smiles)
    with contextlib.closing(worker("metatomic", plain, options)) as potential:
        numbers = potential.compute(wider)
    with contextlib.closing(worker("metatomic", atomic, options)) as potential:
        converted = potential.compute(batch)
    np.testing.assert_allclose(converted.energy, numbers.energy * HARTREE, rtol=1e-6)
    np.testing.assert_allclose(converted.forces, numbers.forces * HARTREE_PER_BOHR, rtol=1e-4, atol=1e-5)


def test_mattersim_weights_that_are_missing_are_not_left_random(tmp_path: Path) -> None:
    damaged = Made("mattersim", "damaged.pth", make_mattersim, own_mattersim, made_with={"lacks": "normalizer.shift"})
    path = made(tmp_path, damaged)
    with pytest.raises(ModelError, match=r"lacks 1 of the [0-9]+ weights of its network, such as normalizer.shift"):
        worker("mattersim", path, LoadOptions(device="cpu"))


def test_orb_heads_that_are_missing_are_not_left_random(tmp_path: Path) -> None:
    path = made(tmp_path, Made("orb", "orb-v3-direct-inf-omat.ckpt", make_orb, own_orb))
    with pytest.raises(ModelError, match=r"lacks [0-9]+ of the [0-9]+ weights of the heads for energy and forces, "):
        worker("orb", path, LoadOptions(device="cpu"))


@pytest.mark.parametrize(
    ("family", "name", "package"),
    [
        ("fairchem", "uma-nonsense.pt", "fairchem-core"),
        ("orb", "orb-v3-direct-inf-omat.ckpt", "orb-models"),
        ("metatomic", "pet-nonsense.ckpt", "metatomic-torch"),
    ],
)
def test_a_file_of_another_kind_is_refused(family: str, name: str, package: str, tmp_path: Path) -> None:
    import torch

    torch.save({"weight": torch.zeros(3)}, tmp_path / name)
    message = rf"{name} cannot be loaded and run with {package} [0-9.]+: .* was written for {package} [0-9.]+: inst"
    with pytest.raises(ModelError, match=message):
        worker(family, tmp_path / name, LoadOptions(device="cpu", trust_checkpoint=True))


def stand_in(monkeypatch: pytest.MonkeyPatch, module: str, **contents: object) -> None:
    """Puts a module with these contents in the place of one of a package, for a test."""
    parts = module.split(".")
    for n_parts in range(1, len(parts) + 1):
        name = ".".join(parts[:n_parts])
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    for name, value in contents.items():
        setattr(sys.modules[module], name, value)


class Recorder:
    """A model that keeps what it was given, and answers with known numbers for the three molecules."""

    def __init__(self, energy: str, forces: str, **attributes: object) -> None:
        self.given: Any = None
        self._names = energy, forces
        self.__dict__.update(attributes)

    def answer(self, given: Any, **_: object) -> dict[str, Any]:
        import torch

        self.given = given
        numbers = torch.tensor([1.0, -2.0, 3.0]), torch.arange(3.0 * len(molecules().positions)).reshape(-1, 3)
        return dict(zip(self._names, numbers, strict=True))

    predict = forward = __call__ = answer


def traits(family: str, dtype: Any = "float32", **others: Any) -> PotentialTraits:
    return PotentialTraits("model", family, frozenset({1, 6, 7, 8}), dtype=dtype, **others)


def assert_known_numbers(prediction: Prediction) -> None:
    """Energies and forces come through as they are: these packages give eV and eV/Å."""
    np.testing.assert_array_equal(prediction.energy, [1.0, -2.0, 3.0])
    np.testing.assert_array_equal(prediction.forces.ravel(), np.arange(prediction.forces.size))
    assert prediction.energy.dtype == prediction.forces.dtype == np.float64


@pytest.mark.parametrize(("task", "multiplicity"), [("omol", 1), ("omat", 0)])
def test_what_fairchem_is_given(
    task: str, multiplicity: int, batch: StructureBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(monkeypatch, "fairchem.core.datasets.atomic_data", AtomicData=SimpleNamespace)
    unit = Recorder("energy", "forces")
    assert_known_numbers(fairchem.FairchemPotential(unit, task, traits("fairchem")).compute(batch))
    np.testing.assert_allclose(unit.given.pos, batch.positions, atol=1e-6)
    np.testing.assert_array_equal(unit.given.batch, batch.system_idx)
    np.testing.assert_array_equal(unit.given.cell, np.broadcast_to(np.eye(3), (3, 3, 3)))
    assert unit.given.charge.tolist() == [0, 0, 0]
    assert unit.given.spin.tolist() == [multiplicity] * 3
    assert unit.given.dataset == [task] * 3
    assert not unit.given.pbc.any()


def test_what_orb_is_given(batch: StructureBatch, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, "orb_models.common.atoms.batch.graph_batch", AtomGraphs=SimpleNamespace)
    model = Recorder("energy", "grad_forces")
    assert_known_numbers(orb.OrbPotential(model, (6.0, 120), "grad_forces", traits("orb")).compute(batch))
    graph = model.given
    pairs = packed_neighbours(batch, 6.0)
    np.testing.assert_array_equal([graph.senders.numpy(), graph.receivers.numpy()], pairs)
    vectors = batch.positions[pairs[1]] - batch.positions[pairs[0]]
    np.testing.assert_allclose(graph.edge_features["vectors"], vectors, atol=1e-6)
    np.testing.assert_array_equal(graph.n_edge, np.bincount(batch.system_idx[pairs[0]]))
    assert graph.system_features["total_charge"].tolist() == [0.0, 0.0, 0.0]
    assert graph.system_features["spin_multiplicity"].tolist() == [1.0, 1.0, 1.0]
    assert not graph.system_features["cell"].any()
    assert graph.node_features["atomic_numbers_embedding"].argmax(dim=1).tolist() == batch.atomic_numbers.tolist()


def test_what_mattersim_is_given(batch: StructureBatch, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    given: dict[str, Any] = {}

    def make_graph(**arguments: Any) -> dict[str, Any]:
        given.update(arguments)
        return {"atom_pos": arguments["pos"], "num_atoms": arguments["num_atoms"]}

    stand_in(monkeypatch, "mattersim.datasets.utils.converter", create_batch_graph_dict=make_graph)
    network = SimpleNamespace(model_args={"cutoff": 5.0, "threebody_cutoff": 4.0})
    model = Recorder("total_energy", "forces", model=network)
    assert_known_numbers(mattersim.MattersimPotential(model, traits("mattersim")).compute(batch))
    np.testing.assert_array_equal(given["pos"], batch.positions)
    assert (given["twobody_cutoff"], given["threebody_cutoff"], given["pbc"]) == (5.0, 4.0, False)
    assert {name: value.dtype for name, value in model.given.items()} == {
        "atom_pos": torch.float32,
        "num_atoms": torch.int64,
    }


def test_what_a_torchsim_model_is_given(batch: StructureBatch, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    stand_in(monkeypatch, "torch_sim", SimState=SimpleNamespace)
    model = Recorder("energy", "forces", device=torch.device("cpu"), dtype=torch.float64)
    assert_known_numbers(torchsim.TorchSimPotential(model, traits("torchsim", "float64")).compute(batch))
    np.testing.assert_array_equal(model.given.positions, batch.positions)
    np.testing.assert_array_equal(model.given.system_idx, batch.system_idx)
    for name, value in {"charge": 0.0, "total_charge": 0.0, "spin": 1.0, "total_spin": 1.0}.items():
        assert getattr(model.given, name).tolist() == [value] * 3
    assert model.given.pbc is False


def test_only_the_nearest_neighbours_are_kept(batch: StructureBatch) -> None:
    import torch

    pairs = packed_neighbours(batch, 6.0)
    kept, all_kept = (orb.nearest_neighbours(pack(batch), torch.as_tensor(pairs), most).numpy() for most in (3, 120))
    for atom in range(len(batch.atomic_numbers)):
        partners = pairs[1, pairs[0] == atom]
        distances = np.linalg.norm(batch.positions[partners] - batch.positions[atom], axis=1)
        assert set(kept[1, kept[0] == atom]) == set(partners[np.argsort(distances)[:3]])
    np.testing.assert_array_equal(all_kept, pairs)


@pytest.mark.parametrize(
    ("file", "name", "is_published"),
    [
        ("orb-v3-conservative-inf-omat-20250404.ckpt", "orb-v3-conservative-inf-omat", True),
        ("orb-v3-direct-20-mpa.ckpt", "orb-v3-direct-20-mpa", True),
        ("orbmol-v2-teqabfhg-20260523.ckpt", "orbmol-v2", True),
        ("orb-d3-sm-v2-20241011.ckpt", "orb-d3-sm-v2", True),
        ("orb-v2-finetuned.ckpt", "orb-v2", False),
    ],
)
def test_an_orb_model_is_recognised_by_the_name_of_its_file(file: str, name: str, is_published: bool) -> None:
    assert orb.model_of(Path(file)) == (name, is_published)


def test_an_orb_file_of_another_name_is_refused() -> None:
    with pytest.raises(ModelError, match=r"model\.ckpt does not identify an Orb model; expected a name"):
        orb.load(Path("model.ckpt"), LoadOptions(device="cpu"))


@pytest.mark.parametrize(
    ("name", "level"),
    [
        ("pet-mad-s-v1.0.2", "PBEsol (MAD)"),
        ("pet-mad-xs-v1.5.0", "r2SCAN (MAD-1.5)"),
        ("pet-mad-s-1.10.0", "r2SCAN (MAD-1.5)"),
        ("pet-omol-l-v1.0.0", "wB97M-V/def2-TZVPD"),
        ("pet-mad-s-v1.0.2-mine", None),
        ("model", None),
    ],
)
def test_the_level_of_a_published_pet_is_recognised_by_its_version(name: str, level: str | None) -> None:
    assert level_of_file("metatomic", f"{name}.ckpt") == level


@pytest.mark.parametrize(("module", "name"), [(orb, "orb-v2.ckpt"), (mattersim, "mattersim.pth"), (torchsim, "t.json")])
def test_a_head_that_a_family_does_not_have_is_refused(module: Any, name: str) -> None:
    with pytest.raises(UsageError, match=f"{name} has no readout heads, so it takes no --head; leave out --head pbe"):
        module.load(Path(name), LoadOptions(device="cpu", head="pbe"))


@pytest.mark.parametrize(("module", "name"), [(fairchem, "uma-s-1p2.pt"), (metatomic, "pet-mad-s-v1.5.0.ckpt")])
def test_a_pickle_needs_trust(module: Any, name: str, tmp_path: Path) -> None:
    import torch

    torch.save({"weight": torch.zeros(3)}, tmp_path / name)
    with pytest.raises(ModelError, match=rf"{name} .*is a pickle, .* add --trust-checkpoint"):
        module.load(tmp_path / name, LoadOptions(device="cpu"))


def test_a_mattersim_file_that_would_run_something_is_refused(tmp_path: Path) -> None:
    import torch

    torch.save({"model": {}, "optimizer": tmp_path}, tmp_path / "mattersim-odd.pth")
    with pytest.raises(ModelError, match="is not a mattersim checkpoint that can be read without running code"):
        mattersim.load(tmp_path / "mattersim-odd.pth", LoadOptions(device="cpu", trust_checkpoint=True))


def test_a_failure_names_the_package_and_both_versions() -> None:
    def fail() -> None:
        with tried_with("nosuch", "1.0", Path("weights.pt")):
            logging.warning("starting")
            raise AttributeError("no predict")

    root = logging.getLogger()
    handlers = list(root.handlers)
    message = r"weights.pt cannot be loaded and run with nosuch \(not installed\): AttributeError: no predict. "
    with pytest.raises(ModelError, match=message + "This adapter was written for nosuch 1.0: install that release"):
        fail()
    assert root.handlers == handlers
    assert logging.root.manager.disable == logging.NOTSET


RECIPE: Mapping[str, Any] = MappingProxyType({"factory": "a.b:C", "elements": [1, 6], "conservative": False})


def written(folder: Path, recipe: object) -> Path:
    path = folder / torchsim.RECIPE
    path.write_text(json.dumps(recipe), encoding="utf-8")
    return path


def test_a_recipe_is_read(tmp_path: Path) -> None:
    recipe = torchsim.read_recipe(written(tmp_path, {**RECIPE, "files": {"model": "weights.pt"}}))
    assert recipe == torchsim.Recipe("a.b:C", frozenset({1, 6}), False, {}, {"model": "weights.pt"}, None)


def test_a_recipe_needs_trust(tmp_path: Path) -> None:
    written(tmp_path, dict(RECIPE))
    with pytest.raises(ModelError, match=r"runs a.b:C with its arguments, .* add --trust-checkpoint"):
        torchsim.load(tmp_path, LoadOptions(device="cpu"))


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ([], "is a JSON list; expected an object"),
        ({**RECIPE, "weights": "w.pt"}, r"lacks \[\] and has the unknown \['weights'\]; expected factory elements"),
        ({"factory": "a.b:C"}, r"lacks \['conservative', 'elements'\]"),
        ({**RECIPE, "conservative": "yes"}, "has conservative 'yes', which has the wrong type"),
        ({**RECIPE, "elements": ["H"]}, r"has elements \['H'\]; expected a list of atomic numbers"),
        ({**RECIPE, "files": {"model": "../w.pt"}}, "names the file '../w.pt'; expected the name of a file beside it"),
    ],
)
def test_a_wrong_recipe_is_refused(recipe: object, message: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=message):
        torchsim.read_recipe(written(tmp_path, recipe))
