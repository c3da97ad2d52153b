"""The contract and what is particular to NequIP, in its own environment: packages, compiled models, types of atoms."""

import contextlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dataset_builders.core.arrays import FloatArray
from dataset_builders.core.errors import ModelError
from harness.compute.torch_potential import pack
from harness.core.batch import Prediction, StructureBatch
from harness.core.potential import LoadOptions, Potential, PotentialTraits
from harness.potentials import nequip
from harness.potentials.nequip import NequipPotential
from harness.worker.client import WorkerPotential, WorkerSpec
from tests.harness.potentials.molecules import molecules, packed
from tests.harness.potentials.nequip_models import (
    NETWORKS,
    SHIFTS,
    compile_package,
    make_and_ask,
    make_packages,
    own_calculator,
    training,
    write_committee,
    write_torchscript,
)
from tests.harness.potentials.other_interpreter import (
    Answers,
    asked_elsewhere,
    python_of,
    run_elsewhere,
)
from tests.harness.potentials.test_contract import (  # noqa: F401 (the one contract, on the fixtures of this module)
    Case,
    in_float32,
    test_a_batch_equals_its_structures_one_by_one,
    test_an_element_without_parameters_is_refused,
    test_forces_are_minus_the_derivative_of_the_energy,
    test_forces_are_not_all_alike,
    test_rotation_turns_the_forces_and_keeps_the_energy,
    test_shapes_dtypes_and_finite_values,
    test_single_precision_positions_and_small_integers_are_taken,
    test_the_input_is_left_untouched,
    test_the_order_of_atoms_does_not_matter,
    test_the_order_of_structures_does_not_matter,
    test_traits_describe_the_potential,
    test_translation_changes_nothing,
)

Own = Mapping[str, tuple[FloatArray, FloatArray]]

CASES = {
    "double.nequip.zip": Case,
    "single.nequip.zip": in_float32,
    "conditioned.nequip.zip": Case,
    "double.nequip.pth": Case,
}
TRUSTED = LoadOptions(device="cpu", trust_checkpoint=True)


def worker(source: Path, options: LoadOptions = TRUSTED) -> WorkerPotential:
    return WorkerPotential(WorkerSpec("harness.potentials.nequip", source, options, python_of("nequip")))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made: Path = tmp_path_factory.mktemp("nequip")
    for form in nequip.FORMS:
        (made / f"broken{form}").write_bytes(b"nothing of the kind")
    return made


@pytest.fixture(scope="module")
def elsewhere(folder: Path, batch: StructureBatch, slow_tests_run: bool) -> Answers:
    """Makes models by the names of NETWORKS, and `committee`, which holds two; slow tests alone use `single`.

    Then the package's own calculator computes with them, and the adapter loads one model of the committee, and
    refuses others.
    """
    configs = {name: training(changes) for name, changes in NETWORKS.items() if slow_tests_run or name != "single"}
    choices: list[dict[str, Any]] = [{"path": str(folder / name)} for name in _made(slow_tests_run)]
    choices.append({"path": str(folder / "conditioned.nequip.zip"), "charge": 1})
    asked = [
        (folder / name, LoadOptions(device="cpu", trust_checkpoint=True, **options))
        for name, options, _ in REFUSALS.values()
    ]
    second = (folder / "committee.nequip.zip", LoadOptions(device="cpu", trust_checkpoint=True, head="second"))
    helpers = [make_packages, write_torchscript, write_committee]
    return asked_elsewhere(
        "nequip",
        own_calculator,
        batch,
        choices,
        [*asked, second],
        function=make_and_ask,
        helpers=helpers,
        folder=str(folder),
        configs=configs,
    )


def _made(slow_tests_run: bool) -> list[str]:
    return [name for name in CASES if slow_tests_run or "single" not in name]


@pytest.fixture(scope="module")
def own(elsewhere: Answers, slow_tests_run: bool) -> Own:
    """Energies and forces of the package's own calculator, by file; `charged` is `conditioned` with a charge."""
    return dict(zip([*_made(slow_tests_run), "charged"], elsewhere.numbers, strict=True))


@pytest.fixture(scope="module")
def refusals(elsewhere: Answers) -> dict[str, str]:
    return dict(zip(REFUSALS, elsewhere.messages[:-1], strict=True))


BY_DEFAULT = ("double.nequip.zip", "double.nequip.pth")
"""One file of each form; `make slow` takes all."""


@pytest.fixture(
    scope="module", params=[pytest.param(name, marks=() if name in BY_DEFAULT else pytest.mark.slow) for name in CASES]
)
def case(request: pytest.FixtureRequest, folder: Path, elsewhere: object) -> Case:
    made: Case = CASES[request.param](str(folder / request.param), TRUSTED)
    return made


@pytest.fixture(scope="module")
def potential(case: Case) -> Iterator[Potential]:
    with contextlib.closing(worker(Path(case.model))) as started:
        yield started


def test_agrees_with_the_calculator_of_its_own_family(case: Case, prediction: Prediction, own: Own) -> None:
    energy, forces = own[Path(case.model).name]
    np.testing.assert_allclose(prediction.energy, energy, rtol=0, atol=case.rounding)
    np.testing.assert_allclose(prediction.forces, forces, rtol=0, atol=case.rounding)


def test_charge_counts_where_a_model_asks_for_it(own: Own) -> None:
    assert np.abs(own["conditioned.nequip.zip"][1] - own["charged"][1]).max() > 1e-3


def test_traits(potential: Potential, case: Case) -> None:
    traits = potential.traits
    assert (traits.family, traits.protocol, traits.level_of_theory) == ("nequip", "zero-shot", None)
    assert traits.dtype == ("float32" if "single" in case.model else "float64")
    assert (traits.elements, traits.head, traits.conservative) == (frozenset({1, 6, 7, 8}), None, True)


def test_atoms_without_neighbours_have_the_energies_of_their_elements(potential: Potential, case: Case) -> None:
    if "conditioned" in case.model:
        pytest.skip("charge and spin have an energy of their own, also of an atom by itself")
    apart = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 50.0]])
    atoms = packed([(np.array([8]), np.zeros((1, 3)), "O"), (np.array([6, 1]), apart, "[CH]")])
    prediction = potential.compute(atoms)
    assert prediction.energy == pytest.approx([SHIFTS[3], SHIFTS[1] + SHIFTS[0]], rel=1e-7)
    np.testing.assert_array_equal(prediction.forces, 0.0)


def test_one_model_of_a_package_is_chosen_by_its_name(elsewhere: Answers, own: Own) -> None:
    (second,) = elsewhere.loaded.values()
    assert elsewhere.messages[-1] == "loaded"
    assert second.traits.head == "second"
    np.testing.assert_allclose(second.forces, 2.0 * own["double.nequip.zip"][1], rtol=0, atol=1e-12)


REFUSALS = {
    "another precision": (
        "double.nequip.zip",
        {"dtype": "float32"},
        r"computes in float64, not in 'float32': NequIP fixes",
    ),
    "a needless head": ("double.nequip.zip", {"head": "a"}, r"contains only one model.*leave out --head a"),
    "a head of TorchScript": ("double.nequip.pth", {"head": "a"}, r"contains only one model.*leave out --head a"),
    "no head": ("committee.nequip.zip", {}, r"contains the models first second, and none was chosen; choose .*--head"),
    "an unknown head": ("committee.nequip.zip", {"head": "a"}, r"contains the models first second, and 'a' is not one"),
    "types": ("renamed.nequip.zip", {}, r"has the atom types Hydrogen C N O; expected the symbols of"),
    "no package": ("broken.nequip.zip", {}, r"cannot load .*broken\.nequip\.zip: RuntimeError: .*zip archive"),
    "no library": ("broken.nequip.pt2", {}, r"cannot load .*broken\.nequip\.pt2: BadZipFile: .*compiled for cpu if"),
    "no TorchScript": ("broken.nequip.pth", {}, r"cannot load .*broken\.nequip\.pth: RuntimeError: .*zip archive"),
}


@pytest.mark.parametrize("asked", REFUSALS)
def test_what_is_refused_is_reported(refusals: dict[str, str], asked: str) -> None:
    assert re.search(REFUSALS[asked][2], refusals[asked]), refusals[asked]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("name", "target"), [("double", "batch"), ("double", "ase"), ("single", "pair_nequip")])
def test_a_compiled_model_is_the_model_that_was_compiled(folder: Path, own: Own, name: str, target: str) -> None:
    """Whatever program it was compiled for. Compilation takes minutes and a C++ compiler."""
    source, path = folder / f"{name}.nequip.zip", folder / f"{name}-{target}.nequip.pt2"
    run_elsewhere("nequip", compile_package, source=str(source), path=str(path), target=target)
    energy, forces = own[source.name]
    tolerance = 1e-5 if name == "single" else 1e-9
    with contextlib.closing(worker(path)) as potential:
        assert potential.traits.dtype == ("float32" if name == "single" else "float64")
        together = potential.compute(molecules())
        alone = potential.compute(packed([(np.array([8]), np.zeros((1, 3)), "O")]))
    np.testing.assert_allclose(together.energy, energy, rtol=0, atol=tolerance)
    np.testing.assert_allclose(together.forces, forces, rtol=0, atol=tolerance)
    assert alone.energy == pytest.approx([SHIFTS[3]], rel=1e-7)


class Springs:
    """Stands for a model: springs of 1 eV/Å² between atoms that share an edge, and what a test spoils of it."""

    def __init__(self, **spoilt: Any) -> None:
        self.spoilt = spoilt
        self.given: dict[str, torch.Tensor] = {}

    def __call__(self, graph: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        self.given = graph
        centre, neighbour = graph["edge_index"]
        vectors = graph["pos"][neighbour] - graph["pos"][centre]
        atomic = torch.zeros(len(graph["pos"])).index_add(0, centre, 0.25 * vectors.square().sum(dim=1))
        forces = torch.zeros_like(graph["pos"]).index_add(0, centre, vectors)
        output = {"atomic_energy": atomic[:, None], "forces": forces, "total_energy": atomic.sum()[None, None]}
        return {name: value for name, value in (output | self.spoilt).items() if value is not None}


def with_springs(model: Springs, *inputs: str, cutoffs: FloatArray | None = None) -> NequipPotential:
    cutoffs = np.full((2, 2), 3.0) if cutoffs is None else cutoffs
    network = nequip._Network(model, (8, 1), cutoffs, "float64", frozenset({"pos", "edge_index", *inputs}))
    return NequipPotential(network, PotentialTraits("springs", "nequip", frozenset({1, 8})))


WATER = (np.array([8, 1, 1]), np.array([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 2.0, 0.0]]), "O")
OXYGEN = (np.array([8]), np.array([[9.0, 9.0, 9.0]]), "[O]")


def test_springs_by_hand() -> None:
    model = Springs()
    with _default_dtype_is_kept():
        prediction = with_springs(model, "atom_types").compute(packed([WATER, OXYGEN]))
    assert prediction.energy == pytest.approx([0.5 * (1.0 + 4.0 + 5.0), 0.0])
    np.testing.assert_allclose(prediction.forces, [[1, 2, 0], [-2, 2, 0], [1, -4, 0], [0, 0, 0]])
    # The last two atoms are a molecule that only the model sees.
    assert model.given["atom_types"].tolist() == [0, 1, 1, 0, 0, 0]
    assert model.given["edge_index"].tolist() == [[0, 0, 1, 1, 2, 2, 4, 5], [1, 2, 0, 2, 0, 1, 5, 4]]


@contextlib.contextmanager
def _default_dtype_is_kept() -> Iterator[None]:
    before = torch.get_default_dtype()
    yield
    assert torch.get_default_dtype() == before


def test_a_model_of_batches_receives_molecules() -> None:
    model = Springs()
    inputs = ("batch", "num_atoms", "cell", "edge_cell_shift", "charge", "spin")
    with_springs(model, *inputs).compute(packed([WATER, OXYGEN]))
    assert set(model.given) == {"pos", "edge_index", *inputs}
    assert model.given["batch"].tolist() == [0, 0, 0, 1, 2, 2]
    assert model.given["num_atoms"].tolist() == [3, 1, 2]
    assert model.given["cell"].shape == (3, 3, 3)
    assert model.given["edge_cell_shift"].shape == (8, 3)
    assert model.given["charge"].tolist() == [[0], [0], [0]]
    assert model.given["spin"].tolist() == [[1], [1], [1]]
    assert all(tensor.is_contiguous() for tensor in model.given.values())


@pytest.mark.parametrize("default", [torch.float32, torch.float64])
def test_the_input_is_the_same_whatever_the_default_precision(default: torch.dtype) -> None:
    """It is made while an earlier batch computes, which changes the default one."""
    potential = with_springs(Springs(), *sorted(nequip._GEOMETRY | set(nequip._NEUTRAL_SINGLET)))
    before = torch.get_default_dtype()
    torch.set_default_dtype(default)
    try:
        graph = potential.graph(pack(packed([WATER, OXYGEN])))
    finally:
        torch.set_default_dtype(before)
    real = {name for name, tensor in graph.items() if tensor.dtype == torch.float64}
    assert real == {"pos", "cell", "edge_cell_shift"}
    assert all(graph[name].dtype == torch.int64 for name in graph.keys() - real)


def test_a_model_of_one_frame_gets_all_molecules_as_one() -> None:
    model = Springs()
    prediction = with_springs(model, "cell", "charge").compute(packed([WATER, WATER]))
    assert model.given["cell"].shape == (1, 3, 3)
    assert model.given["charge"].tolist() == [[0]]
    assert prediction.energy == pytest.approx([5.0, 5.0])


def test_edges_end_at_the_cutoff_of_their_types() -> None:
    model = Springs()
    # O sees O and H up to 1.5 Å; H sees O up to 3 Å and H up to 1 Å.
    cutoffs = np.array([[1.5, 1.5], [3.0, 1.0]])
    with_springs(model, cutoffs=cutoffs).compute(packed([WATER]))
    assert model.given["edge_index"].tolist() == [[0, 1, 2, 3, 4], [1, 0, 0, 4, 3]]
    assert model.given["pos"][4, 2] == 0.5


@pytest.mark.parametrize("by_pair", ["1.5 1.5 3.0 1.0", {"O": {"O": 1.5, "H": 1.5}, "H": {"O": 3.0, "H": 1.0}}])
def test_cutoffs_are_read_in_both_forms(by_pair: Any) -> None:
    found = nequip._cutoffs({"r_max": "3.0", "per_edge_type_cutoff": by_pair}, ["O", "H"])
    np.testing.assert_array_equal(found, [[1.5, 1.5], [3.0, 1.0]])
    np.testing.assert_array_equal(nequip._cutoffs({"r_max": "3.0"}, ["O", "H"]), np.full((2, 2), 3.0))


@pytest.mark.parametrize(
    ("spoilt", "message"),
    [
        ({"forces": None}, "springs predicts no forces; expected a model with forces, .*nequip-compile --target batch"),
        ({"atomic_energy": None}, "springs predicts no atomic_energy; expected"),
        ({"total_energy": torch.tensor([[6.2]])}, r"an energy that differs by 0\.07\d* eV from the sum .*--family ase"),
    ],
)
def test_a_model_that_gives_something_else_is_refused(spoilt: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        with_springs(Springs(**spoilt)).compute(packed([WATER]))


def test_a_model_that_asks_for_something_else_is_refused() -> None:
    metadata = {"type_names": "O H", "r_max": "3.0", "model_dtype": "float32"}
    with pytest.raises(ModelError, match=r"needs dataset of each molecule; the harness provides charge, spin"):
        nequip._network(Path("odd.nequip.zip"), None, metadata, frozenset({"pos", "dataset"}))
    with pytest.raises(ModelError, match=r"has model_dtype 'bfloat16'; expected float32 or float64"):
        nequip._network(Path("odd.nequip.zip"), None, metadata | {"model_dtype": "bfloat16"}, frozenset({"pos"}))


@pytest.mark.parametrize(
    ("form", "what"),
    [
        (".nequip.zip", "contains Python code"),
        (".nequip.pt2", "is a library of compiled code"),
        (".nequip.pth", "is a TorchScript program"),
    ],
)
def test_a_file_that_is_not_trusted_is_not_opened(tmp_path: Path, form: str, what: str) -> None:
    path = tmp_path / f"model{form}"
    path.write_bytes(b"")
    with pytest.raises(ModelError, match=rf"model{form} \(sha256 \w{{64}}\) {what}, which runs.*--trust-checkpoint"):
        nequip.load(path, LoadOptions(device="cpu"))


@pytest.mark.parametrize("name", ["trained.ckpt", "model.zip", "model.pth"])
def test_a_file_of_another_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelError, match=r"names that nequip uses: \*\.nequip\.zip .*nequip-package build CHECKPOINT"):
        nequip.load(tmp_path / name, TRUSTED)
