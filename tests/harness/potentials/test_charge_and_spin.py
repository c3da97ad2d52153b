"""Charge 0 and spin multiplicity 1 reach the library of each family in the type that it takes.

`0.0 == 0`, so a test of values alone does not see a float where a library looks up an integer. Where the package is
installed, what its model receives from the adapter is compared with what it receives from the package's own calculator.
Orb, fairchem, metatomic, MatterSim and TorchSim are not installed here: for them the types are those of the source of
the release that the adapter names, and stand-ins record what they are given.
"""

from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

from harness.core.batch import StructureBatch
from harness.core.potential import LoadOptions
from harness.models.registry import load_potential
from harness.potentials import chgnet, fairchem, mattersim, orb, sevennet, torchsim
from tests.harness.potentials.foundation_models import random_ani1x, small_aimnet2
from tests.harness.potentials.molecules import molecules, packed, saved, small_mace, unpacked
from tests.harness.potentials.test_other_families import Recorder, stand_in, traits

Kind = tuple[torch.dtype, set[float]]
"""Type and values of an input."""

CATEGORICAL = {
    "total_charge": {"type": "categorical", "per": "graph", "num_classes": 5, "offset": 2, "emb_dim": 4},
    "total_spin": {"type": "categorical", "per": "graph", "num_classes": 5, "emb_dim": 4},
}


def charge_and_spin(given: Any) -> dict[str, Kind]:
    """Type and values of each input whose name speaks of charge or spin."""
    named = dict(given) if isinstance(given, Mapping) else vars(given)
    return {
        name: (torch.as_tensor(value).dtype, {float(each) for each in torch.as_tensor(value).ravel()})
        for name, value in named.items()
        if any(word in name for word in ("charge", "spin", "mult")) and value is not None
    }


@pytest.fixture
def batch() -> StructureBatch:
    return molecules()


def atoms_of(batch: StructureBatch) -> Iterator[Any]:
    from ase import Atoms

    for numbers, positions, _ in unpacked(batch):
        yield Atoms(numbers=numbers, positions=positions, info={"charge": 0, "spin": 1})


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_mace_receives_what_its_own_calculator_gives(dtype: Any, batch: StructureBatch, tmp_path: Path) -> None:
    pytest.importorskip("mace")
    from mace.calculators import MACECalculator

    model = small_mace(embedding_specs=CATEGORICAL, use_embedding_readout=True)
    path = saved(model, tmp_path / "small.model")
    potential: Any = load_potential(str(path), LoadOptions(device="cpu", dtype=dtype, trust_checkpoint=True))
    ours = recorded(inner(potential)._model, lambda: potential.compute(batch))
    keys = {"charge": "total_charge", "spin": "total_spin"}
    own = MACECalculator(model_paths=str(path), default_dtype=dtype, info_keys={v: k for k, v in keys.items()})
    theirs = recorded(own.models[0], lambda: own.calculate(next(atoms_of(batch))))
    shared = {name: charge_and_spin(theirs)[name] for name in CATEGORICAL}
    assert shared == {
        "total_charge": (getattr(torch, dtype), {0.0}),
        "total_spin": (getattr(torch, dtype), {1.0}),
    }
    assert {name: charge_and_spin(ours)[name] for name in CATEGORICAL} == shared


def test_mace_finds_the_row_of_its_embedding(batch: StructureBatch, tmp_path: Path) -> None:
    pytest.importorskip("mace")
    path = saved(small_mace(embedding_specs=CATEGORICAL, use_embedding_readout=True), tmp_path / "small.model")
    potential: Any = load_potential(str(path), LoadOptions(device="cpu", trust_checkpoint=True))
    tables = {
        name: module
        for name, module in inner(potential)._model.joint_embedding.named_modules()
        if isinstance(module, torch.nn.Embedding)
    }
    rows: dict[str, Any] = {}
    for name, module in tables.items():
        module.register_forward_pre_hook(lambda _, inputs, name=name: rows.__setitem__(name, inputs[0]))
    potential.compute(batch)
    found = {name.rpartition(".")[2]: (row.dtype, set(row.ravel().tolist())) for name, row in rows.items()}
    # A charge is shifted by the offset of its table.
    assert found == {"total_charge": (torch.int64, {2}), "total_spin": (torch.int64, {1})}


def test_aimnet2_receives_what_its_own_calculator_gives(batch: StructureBatch, tmp_path: Path) -> None:
    pytest.importorskip("aimnet")
    path = small_aimnet2(tmp_path / "aimnet2")
    from aimnet.calculators import AIMNet2ASE, AIMNet2Calculator

    potential: Any = load_potential(str(path), LoadOptions(device="cpu"))
    ours = recorded(inner(potential)._calculator.model, lambda: potential.compute(batch))
    own = AIMNet2ASE(AIMNet2Calculator(str(path), device="cpu"), charge=0, mult=1)
    theirs = recorded(own.base_calc.model, lambda: own.get_potential_energy(next(atoms_of(batch))))
    # The network adds charges of atoms to its input.
    expected = {name: kind for name, kind in charge_and_spin(theirs).items() if name in ("charge", "mult")}
    assert expected["charge"] == (torch.float32, {0.0})
    assert {name: charge_and_spin(ours)[name] for name in expected} == expected


def test_an_ase_calculator_finds_integers(batch: StructureBatch, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys
    from types import ModuleType

    from ase.calculators.lj import LennardJones

    seen: list[dict[str, object]] = []

    class Spy(LennardJones):  # type: ignore[misc]
        def calculate(self, atoms: Any = None, *arguments: Any) -> None:
            seen.append(dict(atoms.info))
            super().calculate(atoms, *arguments)

    module = ModuleType("spying")
    module.make = lambda path, device: Spy()  # type: ignore[attr-defined]
    module.__file__ = __file__
    monkeypatch.setitem(sys.modules, "spying", module)
    from harness.potentials import ase_calculator

    potential = ase_calculator.load("anything", LoadOptions(device="cpu", calculator="spying:make"))
    potential.compute(batch)
    assert seen
    assert all(type(info["charge"]) is int and type(info["spin"]) is int for info in seen)
    assert {(info["charge"], info["spin"]) for info in seen} == {(0, 1)}


@pytest.mark.parametrize(("task", "multiplicity"), [("omol", 1.0), ("omat", 0.0)])
def test_fairchem_receives_integers(
    task: str, multiplicity: float, batch: StructureBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `AtomicData.from_ase` of fairchem-core 2.24.0 gives them: `tensor_or_int_to_tensor(charge, torch.long)`."""
    from types import SimpleNamespace

    stand_in(monkeypatch, "fairchem.core.datasets.atomic_data", AtomicData=SimpleNamespace)
    unit = Recorder("energy", "forces")
    fairchem.FairchemPotential(unit, task, traits("fairchem")).compute(batch)
    assert charge_and_spin(unit.given) == {"charge": (torch.int64, {0.0}), "spin": (torch.int64, {multiplicity})}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_orb_receives_numbers_of_its_precision(
    dtype: Any, batch: StructureBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `forcefield_adapter.py` of orb-models 0.7.0: `torch.tensor([charge], dtype=torch.get_default_dtype())`."""
    from types import SimpleNamespace

    stand_in(monkeypatch, "orb_models.common.atoms.batch.graph_batch", AtomGraphs=SimpleNamespace)
    model = Recorder("energy", "grad_forces")
    orb.OrbPotential(model, (6.0, 120), "grad_forces", traits("orb", dtype)).compute(batch)
    assert charge_and_spin(model.given.system_features) == {
        "total_charge": (getattr(torch, dtype), {0.0}),
        "spin_multiplicity": (getattr(torch, dtype), {1.0}),
    }


def test_nequip_receives_integers() -> None:
    """Its embeddings of charge and spin are tables of integers; `test_nequip.py` compares with its own calculator."""
    from tests.harness.potentials.test_nequip import OXYGEN, WATER, Springs, with_springs

    model = Springs()
    with_springs(model, "batch", "num_atoms", "charge", "spin").compute(packed([WATER, OXYGEN]))
    assert charge_and_spin(model.given) == {"charge": (torch.int64, {0.0}), "spin": (torch.int64, {1.0})}


def test_torchani_takes_neither(batch: StructureBatch, tmp_path: Path) -> None:
    pytest.importorskip("torchani")
    potential: Any = load_potential(str(random_ani1x(tmp_path)), LoadOptions(device="cpu"))
    network = inner(potential)._network
    given: list[Any] = []
    network.register_forward_pre_hook(lambda _, inputs, named: given.append((inputs, named)), with_kwargs=True)
    potential.compute(batch)
    ((inputs, named),) = given
    (species, coordinates) = inputs[0]
    assert (species.dtype, coordinates.dtype, set(named)) == (torch.int64, torch.float32, {"atomic"})


def test_chgnet_takes_neither(batch: StructureBatch) -> None:
    pytest.importorskip("chgnet")
    potential: Any = chgnet.load("chgnet", LoadOptions(device="cpu"))
    given: list[Any] = []
    inner(potential)._network.register_forward_pre_hook(lambda _, inputs: given.extend(inputs[0]))
    potential.compute(batch)
    assert given
    assert not any(charge_and_spin(graph.to_dict()) for graph in given)


def test_graph_pes_takes_neither(batch: StructureBatch) -> None:
    potential: Any = load_potential("reference", LoadOptions(device="cpu"))
    from harness.compute.torch_potential import pack

    graph = inner(potential).graph(pack(batch))
    assert not any("charge" in name or "spin" in name for name in str(graph).split())


@pytest.mark.parametrize("module", [sevennet, mattersim, torchsim])
def test_families_of_other_environments(module: Any) -> None:
    package = module.FAMILY.package
    if find_spec(package) is None:
        pytest.skip(f"{package} is not installed here; SevenNet and MatterSim take neither, TorchSim's test is its own")
    assert "charge" not in Path(module.__file__).read_text(encoding="utf-8") or module is torchsim


def inner(potential: Any) -> Any:
    """The adapter of a potential that may have been renamed."""
    return getattr(potential, "potential", potential)


def recorded(model: Any, compute: Any) -> Mapping[str, Any]:
    """The first argument that a network receives."""
    given: list[Any] = []
    handle = model.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
    try:
        compute()
    finally:
        handle.remove()
    assert given
    return {name: value.detach().clone() for name, value in given[0].items() if torch.is_tensor(value)}
