"""The contract of the networks that have an environment of their own: built, checked, trained and computed there.

Without the environment these tests are skipped: `python -m harness env create fairchem1`.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from dataset_builders.core.errors import SetupError
from harness.core.batch import Prediction
from harness.core.potential import LoadOptions, Potential
from harness.models.resolve import resolve_model
from harness.networks.architecture import NetworkArguments
from harness.networks.architectures import IN_ENVIRONMENTS
from harness.networks.checkpoint_format import read_config, receptive_field
from harness.networks.networks import build_network
from harness.worker.family_environments import ENVIRONMENTS_VARIABLE
from harness.worker.loading import loaded
from tests.benchmarks.equiformer_v2 import measured
from tests.harness.potentials.molecules import molecules, packed
from tests.harness.potentials.other_interpreter import Arrays, python_of, run_elsewhere
from tests.harness.potentials.test_contract import (  # noqa: F401 (the one contract, on the fixtures of this module)
    Case,
    test_a_batch_equals_its_structures_one_by_one,
    test_an_element_without_parameters_is_refused,
    test_forces_and_energies_are_cautioned_for_nothing,
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
from tests.harness.training_set import write_training_set

ENVIRONMENT = "fairchem1"
NETWORKS = [name for name, environment in IN_ENVIRONMENTS.items() if environment == ENVIRONMENT]

FLOAT64 = LoadOptions(device="cpu", dtype="float64")
SHAPE = NetworkArguments(channels=8, radial_features=6, layers=1, cutoff=2.0)


def make_network(_: Arrays, folder: str, architecture: str) -> Arrays:
    """Runs in the environment: a checkpoint with random weights that reacts to every input."""
    from pathlib import Path

    import torch

    from harness.networks.architecture import NetworkArguments
    from harness.networks.checkpoint_format import CheckpointConfig, symbol_of, write_checkpoint
    from harness.networks.networks import build_network
    from harness.networks.tensors import network_tensors

    elements, shape = (1, 6, 7, 8), NetworkArguments(16, 8, 2, 5.0)
    torch.manual_seed(3)
    network = build_network(architecture, shape, elements)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.requires_grad:
                parameter.add_(0.05 * torch.randn_like(parameter))
    energies = {symbol_of(number): -10.0 * number for number in elements}
    how = ("float32", "task2", "from-scratch", "GFN2-xTB", {"seed": 0})
    write_checkpoint(
        Path(folder), CheckpointConfig(architecture, shape, elements, energies, *how), network_tensors(network)
    )
    return {}


def reach_and_second_derivatives(arrays: Arrays, architecture: str, shape: dict[str, float], cutoff: float) -> Arrays:
    """Runs in the environment: the atoms that an atomic energy depends on, and derivatives of the squared forces."""
    import numpy as np
    import torch

    from harness.networks.architecture import NetworkArguments
    from harness.networks.graph import energies_and_forces, pack_graph
    from harness.networks.networks import build_network

    torch.manual_seed(1)
    network = build_network(architecture, NetworkArguments(**shape), (1, 6)).double()
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn_like(parameter))
    found = {}
    for name in ("chain", "line"):
        positions = torch.tensor(arrays[name])
        distances = torch.cdist(positions, positions)
        edges = torch.nonzero((distances < cutoff) & (distances > 0.0)).T
        numbers = torch.full((len(positions),), 6)
        graph = pack_graph(numbers, positions, torch.tensor([len(positions)]), edges, cutoff)
        where = graph.R.clone().requires_grad_(True)
        (slope,) = torch.autograd.grad(network(graph._replace(R=where))["local_energies"][0], where)
        found[name] = np.flatnonzero(slope.abs().sum(dim=1).numpy() > 1e-12)
        _, forces = energies_and_forces(network, graph, create_graph=True)
        parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
        parts = torch.autograd.grad(forces.square().sum(), parameters, allow_unused=True)
        found[f"second {name}"] = np.array([float(part.abs().sum()) for part in parts if part is not None])
    return found


def check_in_double_precision(_: Arrays, dataset: str, architecture: str) -> Arrays:
    """Runs in the environment: the check that the network of a plug-in has to pass before a training."""
    from pathlib import Path

    from harness.networks.architecture import NetworkArguments
    from harness.train.network_check import check_network
    from harness.train.settings import TrainSettings
    from harness.train.task_data import read_training_data

    shape = NetworkArguments(8, 6, 1, 4.0)
    check_network(TrainSettings(architecture, shape, epochs=1), read_training_data(Path(dataset), "task2", 4.0))
    return {}


@pytest.fixture(scope="module", params=NETWORKS)
def architecture(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    python_of(ENVIRONMENT)
    return name


@pytest.fixture(scope="module")
def case(architecture: str) -> Case:
    return Case(ENVIRONMENT, FLOAT64, derivative=1e-3)


@pytest.fixture(scope="module")
def potential(architecture: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Potential]:
    folder = tmp_path_factory.mktemp("checkpoint") / architecture
    run_elsewhere(ENVIRONMENT, make_network, folder=str(folder), architecture=architecture)
    with loaded(resolve_model(str(folder)), FLOAT64) as found:
        yield found


def test_atoms_and_pairs_of_atoms(potential: Potential) -> None:
    apart = [
        (np.array([8, 1]), np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 0.97]]), "O"),
        (np.array([6]), np.zeros((1, 3)), "C"),
    ]
    pair, atom = (potential.compute(packed([one])) for one in apart)
    water = (np.array([8, 1, 1]), np.array([[0.0, 0.0, 0.1], [0.0, 0.8, -0.5], [0.0, -0.8, -0.5]]), "O")
    together = potential.compute(packed([*apart, water]))
    np.testing.assert_allclose(together.energy[:2], [pair.energy[0], atom.energy[0]], rtol=0, atol=1e-9)
    np.testing.assert_allclose(together.forces[:2], pair.forces, rtol=0, atol=1e-9)
    assert np.abs(pair.forces[:, 2]).min() > 1e-6
    np.testing.assert_array_equal(atom.forces, 0.0)


def test_an_evaluation_repeats_digit_by_digit(potential: Potential, prediction: Prediction) -> None:
    again = potential.compute(molecules())
    np.testing.assert_array_equal(again.energy, prediction.energy)
    np.testing.assert_array_equal(again.forces, prediction.forces)


def test_an_energy_is_smooth_where_neighbours_come_and_go(potential: Potential) -> None:
    energies, forces = [], []
    for distance in (5.0 - 1e-6, 5.0 + 1e-6):
        positions = np.array([[0.0, 0.0, 0.0], [0.0, 1.1, 0.0], [distance, 0.0, 0.0]])
        found = potential.compute(packed([(np.array([6, 1, 8]), positions, "C")]))
        energies.append(found.energy[0])
        forces.append(found.forces)
    assert energies[0] == pytest.approx(energies[1], rel=0, abs=1e-8)
    np.testing.assert_allclose(forces[0], forces[1], rtol=0, atol=1e-6)


def test_an_energy_depends_on_atoms_up_to_the_receptive_field(architecture: str) -> None:
    # As in test_networks: a zigzag of atoms of which only the next one is a neighbour, and a straight line.
    index = np.arange(8)
    places = {
        "chain": np.stack([1.4 * index, 0.6 * (index % 2), 0.1 * index], axis=1),
        "line": np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 1.2], [0.0, 0.0, 2.4], [0.9, 0.0, -0.4]]),
    }
    shape = {name: getattr(SHAPE, name) for name in ("channels", "radial_features", "layers", "cutoff")}
    found = run_elsewhere(
        ENVIRONMENT,
        reach_and_second_derivatives,
        places,
        architecture=architecture,
        shape=shape,
        cutoff=SHAPE.cutoff,
    )
    field = receptive_field(architecture, SHAPE)
    assert field is not None
    assert found["chain"].tolist() == list(range(round(field / SHAPE.cutoff) + 1))
    for name in ("second chain", "second line"):
        assert np.isfinite(found[name]).all()
        assert found[name].sum() > 0.0


def test_it_passes_the_check_of_plug_ins(architecture: str, tmp_path: Path) -> None:
    dataset = write_training_set(tmp_path / "toy")
    run_elsewhere(ENVIRONMENT, check_in_double_precision, dataset=str(dataset), architecture=architecture)


def test_it_is_trained_by_the_command_and_evaluated(architecture: str, tmp_path: Path) -> None:
    dataset, out = write_training_set(tmp_path / "toy"), tmp_path / "trained"
    options = ["--channels", "8", "--radial-features", "6", "--layers", "1", "--steps", "6", "--validations", "3"]
    command = [sys.executable, "-m", "harness", "train", "--arch", architecture.lower(), "--task", "task2", *options]
    root = Path(__file__).parents[3]
    variables = {
        **os.environ,
        "PYTHONPATH": str(root),
        "OMP_NUM_THREADS": "1",
        ENVIRONMENTS_VARIABLE: str(python_of(ENVIRONMENT).parents[2]),
    }
    done = subprocess.run(
        [*command, "--dataset", str(dataset), "--out", str(out), "--device", "cpu"],
        env=variables,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert f"wrote {out}: validation force MAE" in done.stdout
    config = read_config(out)
    assert (config.architecture, config.family) == (architecture, "fairchem1")
    assert config.receptive_field == receptive_field(architecture, config.arguments)
    assert "python -m harness env create fairchem1" in (out / "README.md").read_text(encoding="utf-8")
    with loaded(resolve_model(str(out)), LoadOptions(device="cpu")) as potential:
        assert {"fairchem-core", "e3nn", "torch"} <= {*potential.traits.packages}
        assert np.isfinite(potential.compute(molecules().slice(0, 1)).energy).all()


def test_equiformer_v2_is_not_offered_for_a_reason() -> None:
    python_of("fairchem1")
    found = measured(steps=0)
    difference = np.abs(found["autograd"] - found["central"]).mean()
    assert difference > 5e-4 * np.abs(found["central"]).mean()  # the error of a central difference is far smaller
    assert abs(found["pair"][1]) > 1e-3


def test_outside_of_the_environment_the_command_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "harness.networks.fairchem1", None)
    with pytest.raises(
        SetupError, match=r"A GemNet network is computed in the environment fairchem1 alone .*env create"
    ):
        build_network("GemNet", SHAPE, (1, 6))
