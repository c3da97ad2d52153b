"""SO3LR trained further: the network that is trained, a training by the command, and the contract of what comes out.

Without the environment these tests are skipped: `python -m harness env create so3lr`.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dataset_builders.core.errors import SetupError
from dataset_builders.tasks.words import word
from harness.core.batch import StructureBatch
from harness.core.potential import LoadOptions, Potential
from harness.models.resolve import resolve_model
from harness.networks.checkpoint_format import CheckpointConfig, read_config, write_config
from harness.networks.networks import build_network
from harness.potentials.so3lr import SHIPPED_SHA256
from harness.train.options import parser
from harness.train.own_environment import needed_environment
from harness.train.task_data import pin_training_files, read_training_split
from harness.worker.family_environments import ENVIRONMENTS_VARIABLE
from harness.worker.loading import loaded
from tests.harness.potentials.molecules import WORDS, molecules
from tests.harness.potentials.other_interpreter import Arrays, arrays_of, python_of, run_elsewhere
from tests.harness.potentials.test_contract import (  # noqa: F401 (the one contract, on the fixtures of this module)
    Case,
    test_a_batch_equals_its_structures_one_by_one,
    test_an_element_without_parameters_is_refused,
    test_forces_are_minus_the_derivative_of_the_energy,
    test_forces_are_not_all_alike,
    test_rotation_turns_the_forces_and_keeps_the_energy,
    test_shapes_dtypes_and_finite_values,
    test_the_input_is_left_untouched,
    test_the_order_of_atoms_does_not_matter,
    test_the_order_of_structures_does_not_matter,
    test_traits_describe_the_potential,
    test_translation_changes_nothing,
)
from tests.harness.train.test_training_leaks import watched
from tests.harness.training_set import write_training_set

CPU = LoadOptions(device="cpu")
FLOAT64 = LoadOptions(device="cpu", dtype="float64")

LONG = word("COOH", 12, "H")
"""Longer than the cutoff of the electrostatics, 12 Å."""


CURVATURE = 1e-6
"""Largest difference of a second derivative from that of central differences, relative to the largest."""


def network_beside_adapter(arrays: Arrays) -> Arrays:
    """Runs in the environment: the network that training builds from plain values, beside the adapter."""
    import json

    import numpy as np
    import torch

    from dataset_builders.tasks.regions import TASKS
    from harness.core.batch import StructureBatch
    from harness.core.potential import LoadOptions
    from harness.networks.networks import build_network
    from harness.networks.tensors import load_tensors
    from harness.train.start import load_start

    n_atoms = arrays["n_atoms"]
    batch = StructureBatch(arrays["atomic_numbers"], arrays["positions"], n_atoms, tuple("m" for _ in n_atoms))
    start = load_start("so3lr", None, LoadOptions(device="cpu"), TASKS["task2"])
    symbols = {1: "H", 6: "C", 7: "N", 8: "O"}
    of_elements = np.array([start.reference_energies[symbols[number]] for number in batch.atomic_numbers])
    arguments = json.loads(json.dumps(start.arguments))
    found = {
        "cutoff": np.array(arguments["cutoff"]),
        "elements": np.array(list(start.reference_energies)),
        "reference": np.add.reduceat(of_elements, np.cumsum([0, *n_atoms[:-1]])),
    }
    for dtype in ("float32", "float64"):
        network = build_network("SO3LR", arguments, (1, 6, 7, 8))
        load_tensors(network, start.tensors)
        network = network.to(getattr(torch, dtype))
        found |= {f"{dtype} {name}": np.asarray(each) for name, each in in_precision(network, batch, dtype).items()}
    return found | second_derivatives(network, batch) | {"default": np.array(str(torch.get_default_dtype()))}


def in_precision(network: Any, batch: StructureBatch, dtype: Any) -> dict[str, Any]:
    """Runs in the environment: energies and forces of both in one precision, and what a call leaves behind."""
    import numpy as np
    import torch

    from harness.core.potential import LoadOptions
    from harness.networks.graph import energies_and_forces
    from harness.networks.tensors import network_tensors
    from harness.networks.trainable_so3lr import So3lrNetwork
    from harness.potentials import so3lr

    adapter = so3lr.load("so3lr", LoadOptions(device="cpu", dtype=dtype))
    expected = adapter.compute(batch)
    graph = graph_of(batch, getattr(torch, dtype))
    tensors = [each for each in graph if torch.is_tensor(each)]
    before = [each.clone() for each in tensors]
    energy, forces = energies_and_forces(network, graph)
    network(graph)
    parts = [batch.slice(place, place + 1) for place in range(len(batch.n_atoms))]
    alone = [energies_and_forces(network, graph_of(part, getattr(torch, dtype))) for part in parts]
    original, rebuilt = network_tensors(So3lrNetwork(so3lr.model_of(adapter))), network_tensors(network)
    return {
        "energy": energy.detach().numpy(),
        "forces": forces.numpy(),
        "adapter energy": expected.energy,
        "adapter forces": expected.forces,
        "energy alone": np.array([float(each) for each, _ in alone]),
        "forces alone": np.concatenate([each.numpy() for _, each in alone]),
        "untouched": not graph.R.requires_grad and all(map(torch.equal, before, tensors)),
        "kept": sum(torch.is_tensor(each) for each in vars(network.so3lr).values()),
        "same tensors": all(torch.equal(rebuilt[name], each) for name, each in original.items()),
        "finite": all(bool(part.isfinite().all()) for _, part in gradient_of_squared_forces(network, graph)),
    }


def graph_of(batch: StructureBatch, dtype: Any) -> Any:
    """Runs in the environment."""
    from harness.compute.neighbours import neighbours
    from harness.compute.torch_potential import pack
    from harness.networks.graph import pack_graph
    from harness.potentials.so3lr import LONG_RANGE

    packed = pack(batch)
    edges = neighbours(packed, LONG_RANGE)
    return pack_graph(packed.atomic_numbers, packed.positions.to(dtype), packed.n_atoms, edges, LONG_RANGE)


def gradient_of_squared_forces(network: Any, graph: Any) -> list[Any]:
    """Runs in the environment: for each parameter that the forces depend on."""
    import torch

    from harness.networks.graph import energies_and_forces

    _, forces = energies_and_forces(network, graph, create_graph=True)
    parameters = [each for each in network.parameters() if each.requires_grad]
    parts = torch.autograd.grad(forces.square().sum(), parameters, allow_unused=True)
    return [(each, part) for each, part in zip(parameters, parts, strict=True) if part is not None]


def second_derivatives(network: Any, batch: StructureBatch) -> Arrays:
    """Runs in the environment: the squared forces, differentiated along a random change of each of some parameters."""
    import numpy as np
    import torch

    from harness.networks.graph import energies_and_forces

    graph, step = graph_of(batch, torch.float64), 1e-4
    found = [(each, part) for each, part in gradient_of_squared_forces(network, graph) if part.any()]
    torch.manual_seed(5)
    slopes, differences = [], []
    for parameter, part in found[:: len(found) // 10]:
        change = torch.randn_like(parameter) / parameter.numel() ** 0.5
        slopes.append(float((part * change).sum()))
        original, ends = parameter.detach().clone(), []
        for moved in (original + step * change, original - step * change, original):
            parameter.data.copy_(moved)
            ends.append(float(energies_and_forces(network, graph)[1].square().sum()))
        differences.append((ends[0] - ends[1]) / (2.0 * step))
    return {"slopes": np.array(slopes), "differences": np.array(differences)}


HELPERS = (in_precision, graph_of, gradient_of_squared_forces, second_derivatives)


def refused(_: Arrays, folder: str) -> Arrays:
    """Runs in the environment: what is said of models that cannot be trained further, and of damaged descriptions."""
    import shutil
    from importlib import resources
    from pathlib import Path

    import numpy as np
    import torch

    from dataset_builders.core.errors import MlipOodError
    from dataset_builders.tasks.regions import TASKS
    from harness.core.potential import LoadOptions
    from harness.networks.networks import build_network
    from harness.train.start import load_start

    trusted = LoadOptions(device="cpu", trust_checkpoint=True)
    place = Path(folder)
    shutil.copy(str(resources.files("so3krates_torch") / "pretrained" / "so3lr" / "so3lr.model"), place / "a.so3lr.pt")
    torch.save({"weight": torch.zeros(3)}, place / "state.so3lr.pt")
    once = torch.load(place / "a.so3lr.pt", weights_only=False)
    once.neighborlist_format_lr = "ordered_sparse"
    torch.save(once, place / "once.so3lr.pt")
    other = torch.load(place / "a.so3lr.pt", weights_only=False)
    other.electrostatic_energy_scale = 3.0
    other.radial_basis_fn = "bessel"
    torch.save(other, place / "other.so3lr.pt")
    arguments = dict(load_start(str(place / "a.so3lr.pt"), None, trusted, TASKS["task2"]).arguments)

    def start(name: str, options: LoadOptions = trusted) -> None:
        load_start(str(place / name), None, options, TASKS["task2"])

    attempts = (
        lambda: start("a.so3lr.pt", LoadOptions(device="cpu")),
        lambda: start("a.so3lr.pt", LoadOptions(device="cpu", trust_checkpoint=True, head="pbe")),
        lambda: start("state.so3lr.pt"),
        lambda: start("once.so3lr.pt"),
        lambda: start("other.so3lr.pt"),
        lambda: build_network("SO3LR", {"layers": 3, "cutoff": 12.0}, (1, 6)),
        lambda: build_network("SO3LR", {**arguments, "model": {**arguments["model"], "num_heads": "four"}}, (1, 6)),
        lambda: build_network("SO3LR", {**arguments, "model": {**arguments["model"], "depth": 3}}, (1, 6)),
        lambda: build_network("SO3LR", arguments, (1, 6, 35)),
    )
    messages = []
    for attempt in attempts:
        try:
            attempt()
            messages.append("accepted")
        except MlipOodError as error:
            messages.append(f"{type(error).__name__}: {error}")
    return {"messages": np.array(messages)}


@pytest.fixture(scope="module")
def found() -> Arrays:
    return run_elsewhere("so3lr", network_beside_adapter, arrays_of(molecules((*WORDS, LONG))), HELPERS)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_network_is_the_model_of_the_adapter(found: Arrays, dtype: str) -> None:
    # The adapter adds energies of atoms with those of elements, 164 eV each, in the precision of the model.
    rounding, tolerance = (1e-12, 1e-9) if dtype == "float64" else (2e-7, 1e-5)
    energy = found[f"{dtype} energy"] + found["reference"]
    np.testing.assert_allclose(energy, found[f"{dtype} adapter energy"], rtol=rounding, atol=0)
    np.testing.assert_allclose(found[f"{dtype} forces"], found[f"{dtype} adapter forces"], rtol=0, atol=tolerance)
    assert found[f"{dtype} same tensors"]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_batch_equals_its_molecules(found: Arrays, dtype: str) -> None:
    rounding, tolerance = (1e-9, 1e-9) if dtype == "float64" else (1e-4, 1e-5)
    np.testing.assert_allclose(found[f"{dtype} energy alone"], found[f"{dtype} energy"], rtol=0, atol=rounding)
    np.testing.assert_allclose(found[f"{dtype} forces alone"], found[f"{dtype} forces"], rtol=0, atol=tolerance)


def test_second_derivatives(found: Arrays) -> None:
    assert found["float32 finite"]
    assert found["float64 finite"]
    assert len(found["slopes"]) >= 10
    largest = np.abs(found["slopes"]).max()
    np.testing.assert_allclose(found["slopes"], found["differences"], rtol=0, atol=CURVATURE * largest)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_nothing_is_left_behind(found: Arrays, dtype: str) -> None:
    assert found[f"{dtype} untouched"]
    assert found[f"{dtype} kept"] == 0  # the package keeps the tensors of its last batch
    assert str(found["default"]) == "torch.float32"


def test_what_training_starts_from(found: Arrays) -> None:
    assert found["cutoff"] == 12.0
    assert found["elements"].tolist() == ["H", "C", "N", "O", "F", "P", "S", "Cl"]


def test_what_cannot_be_trained_further_is_said(tmp_path: Path) -> None:
    messages = run_elsewhere("so3lr", refused, folder=str(tmp_path))["messages"].tolist()
    expected = (
        "a.so3lr.pt (sha256",
        "no readout heads, so it takes no --head",
        "state.so3lr.pt contains a dict; expected a whole SO3LR model with one head",
        "once.so3lr.pt counts each pair of its long range once (neighborlist_format_lr 'ordered_sparse')",
        "is missing, unexpected or of the wrong shape; expected exactly the tensors of this network",
        "cannot build the SO3LR of the checkpoint (KeyError: 'model')",
        "cannot build the SO3LR of the checkpoint (TypeError: ",
        "cannot build the SO3LR of the checkpoint (TypeError: ",
        "SO3LR has no embedding for Br; it supports H C N O F P S Cl",
    )
    for message, part in zip(messages, expected, strict=True):
        assert message.startswith("ModelError: ") or "--head" in message, message
        assert part in message


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_training_set(tmp_path_factory.mktemp("dataset") / "toy")


@pytest.fixture(scope="module")
def tuned(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint of a short training by the command, which continues in the environment by itself."""
    environments = python_of("so3lr").parents[2]
    out = tmp_path_factory.mktemp("so3lr") / "tuned"
    options = ["--init", "so3lr", "--task", "task2", "--steps", "8", "--validations", "2", "--device", "cpu"]
    command = [sys.executable, "-m", "harness", "train", *options, "--dataset", str(dataset), "--out", str(out)]
    variables = {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).parents[3]),
        "OMP_NUM_THREADS": "1",
        ENVIRONMENTS_VARIABLE: str(environments),
    }
    with watched(dataset) as opened:
        done = subprocess.run(command, env=variables, cwd=out.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"wrote {out}: validation force MAE" in done.stdout
    assert opened == []
    return out


@pytest.fixture(scope="module")
def case() -> Case:
    return Case("so3lr-tuned", FLOAT64)


@pytest.fixture(scope="module")
def potential(tuned: Path) -> Iterator[Potential]:
    with loaded(resolve_model(str(tuned)), FLOAT64) as started:
        yield started


def test_training_lowers_the_error(tuned: Path) -> None:
    config = read_config(tuned)
    before, after = config.training["zero_shot_validation"], config.training["best_validation"]
    assert after["validation_force_mae"] < 0.9 * before["validation_force_mae"]
    assert (config.architecture, config.family, config.protocol) == ("SO3LR", "so3lr-tuned", "fine-tuned")
    assert (config.cutoff, config.receptive_field, config.level_of_theory) == (12.0, None, "MMFF94")
    assert config.started_from is not None
    assert config.started_from["files"] == {"so3lr.model": SHIPPED_SHA256}


def test_the_checkpoint_has_the_error_that_its_training_reports(tuned: Path, dataset: Path) -> None:
    rows = read_training_split(pin_training_files(dataset, "task2"), "task2", "validation")
    frames = StructureBatch(rows.atomic_numbers, rows.positions, rows.n_atoms, tuple(rows.smiles))
    with loaded(resolve_model(str(tuned)), CPU) as started:
        predicted = started.compute(frames)
        assert {"so3krates-torch", "torch"} <= {*started.traits.packages}
    best = read_config(tuned).training["best_validation"]
    assert np.abs(predicted.forces - rows.forces).mean() == pytest.approx(best["validation_force_mae"], rel=1e-4)
    per_atom = np.abs(predicted.energy - rows.energy) / rows.n_atoms
    assert per_atom.mean() == pytest.approx(best["validation_energy_mae"], rel=1e-3)


def test_its_card_names_environment_and_licence(tuned: Path) -> None:
    card = (tuned / "README.md").read_text(encoding="utf-8")
    assert "python -m harness env create so3lr`" in card
    assert "The weights derive from `so3lr`, and its licence applies to them" in card
    assert "It is SO3LR (Kabylda et al., J. Am. Chem. Soc. 147, 33723 (2025); " in card
    assert "whose weights are under the licence MIT." in card
    assert "license:" not in card
    assert "3 layers, cutoff 4.5 Å of messages, 12 Å of electrostatics and dispersion" in card


def write_description(folder: Path, **others: Any) -> Path:
    """A checkpoint without weights."""
    arguments = {"layers": 3, "cutoff": 12.0, "model": {}}
    how = ("float32", "task2", "fine-tuned", "GFN2-xTB", {"seed": 0})
    folder.mkdir()
    write_config(folder, CheckpointConfig("SO3LR", arguments, (1, 6), {"H": -12.0, "C": -56.0}, *how))
    (folder / "model.safetensors").touch()
    return folder


def test_a_training_continues_in_the_environment_of_its_network(tmp_path: Path) -> None:
    folder = write_description(tmp_path / "checkpoint")
    assert resolve_model(str(folder)).family.name == "so3lr-tuned"
    for words, environment in (
        (["--init", "so3lr"], "so3lr"),
        (["--init", str(folder)], "so3lr"),
        (["--init", "reference"], None),
        (["--arch", "gemnet"], "fairchem1"),
        (["--arch", "so3lr"], None),
    ):
        assert needed_environment(parser().parse_args(["--task", "task2", *words])) == environment


def test_outside_of_the_environment_the_command_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENVIRONMENTS_VARIABLE, str(tmp_path))
    monkeypatch.setitem(sys.modules, "so3krates_torch.modules.models", None)
    config = read_config(write_description(tmp_path / "checkpoint"))
    with pytest.raises(SetupError, match=r"A SO3LR network is computed in the environment so3lr alone .*env create"):
        build_network("SO3LR", config.arguments, (1, 6))
    with (
        pytest.raises(SetupError, match=r"Create it with: python -m harness env create so3lr$"),
        loaded(resolve_model(str(tmp_path / "checkpoint")), CPU),
    ):
        pass
