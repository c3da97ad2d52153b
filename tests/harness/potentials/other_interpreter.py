"""Runs functions of tests in the interpreter of a family's own environment, where its package can be asked.

A function is sent as its source, so it stands at the top level of its module and imports inside itself what it uses.
"""

import inspect
import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from pydantic import TypeAdapter

import dataset_builders
import harness
from dataset_builders.core.arrays import FloatArray
from harness.core.batch import StructureBatch
from harness.core.potential import LoadOptions, PotentialTraits
from harness.worker.family_environments import ENVIRONMENTS_VARIABLE, find_environment

Arrays = dict[str, npt.NDArray[Any]]

MAIN = """
import json, sys
import numpy as np

with np.load(sys.argv[1]) as file:
    arrays = dict(file)
np.savez(sys.argv[3], **{call}(arrays, **json.loads(sys.argv[2])))
"""


def python_of(family: str) -> Path:
    """The interpreter of a family's environment; where it was not made, the test is skipped."""
    environment = find_environment(family)
    if environment is None:
        pytest.skip(
            f"no environment for {family}; make it with `python -m harness env create {family}`, "
            f"or say with {ENVIRONMENTS_VARIABLE} where it lies"
        )
    return environment.python


def run_elsewhere(
    family: str,
    function: Callable[..., Arrays],
    arrays: Mapping[str, npt.NDArray[Any]] | None = None,
    helpers: Sequence[Callable[..., Any]] = (),
    **arguments: Any,
) -> Arrays:
    """What `function(arrays, **arguments)` returns in the interpreter of a family, beside this project's packages.

    Args:
        family: Whose environment it is.
        function: Takes arrays by name and plain values; returns arrays by name.
        arrays: For the function.
        helpers: Functions that it calls.
        arguments: Values that JSON can hold.
    """
    sources = "\n".join(inspect.getsource(each) for each in (*helpers, function))
    program = "from __future__ import annotations\n" + sources + MAIN.replace("{call}", function.__name__)
    with tempfile.TemporaryDirectory() as folder:
        given, returned = Path(folder, "given.npz"), Path(folder, "returned.npz")
        np.savez(given, **(arrays or {}))
        Path(folder, "program.py").write_text(program, encoding="utf-8")
        packages = Path(folder, "packages")
        packages.mkdir()
        for package in (dataset_builders, harness):
            (packages / package.__name__).symlink_to(Path(package.__path__[0]).resolve(), target_is_directory=True)
        finished = subprocess.run(
            [str(python_of(family)), "program.py", str(given), json.dumps(arguments), str(returned)],
            cwd=folder,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONSAFEPATH": "1", "PYTHONPATH": str(packages)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert finished.returncode == 0, finished.stderr
        with np.load(returned) as file:
            return dict(file)


def arrays_of(batch: StructureBatch) -> Arrays:
    """A batch as arrays that can be sent."""
    return {"atomic_numbers": batch.atomic_numbers, "positions": batch.positions, "n_atoms": batch.n_atoms}


def own_numbers(
    family: str, calculator: Callable[..., Any], batch: StructureBatch, choices: Sequence[Mapping[str, Any]] = ({},)
) -> list[tuple[FloatArray, FloatArray]]:
    """Energies (eV) and forces (eV/Å) that calculators of a family give for each structure by itself.

    Args:
        family: Whose environment it is.
        calculator: Returns a calculator of ASE; a function as `run_elsewhere` takes them, without the arrays.
        batch: Molecules, which get no cell.
        choices: Arguments of `calculator`, for each calculator that is wanted.
    """
    returned = run_elsewhere(
        family, calculate_each, arrays_of(batch), [calculator], calculator=calculator.__name__, choices=list(choices)
    )
    return list(zip(returned["energy"], returned["forces"], strict=True))


def calculate_each(arrays: Arrays, calculator: str, choices: list[dict[str, Any]]) -> Arrays:
    """Runs in the other interpreter: one structure after the other."""
    import numpy as np
    from ase import Atoms

    bounds = np.cumsum(arrays["n_atoms"])[:-1]
    parts = list(zip(np.split(arrays["atomic_numbers"], bounds), np.split(arrays["positions"], bounds), strict=True))
    energy, forces = [], []
    for choice in choices:
        made = globals()[calculator](**choice)
        molecules = [Atoms(numbers=numbers, positions=positions, calculator=made) for numbers, positions in parts]
        energy.append([float(atoms.get_potential_energy()) for atoms in molecules])
        forces.append(np.concatenate([atoms.get_forces() for atoms in molecules]))
    return {"energy": np.array(energy), "forces": np.array(forces)}


@dataclass(frozen=True, slots=True)
class Loaded:
    """What an adapter loaded: traits, and energies (eV) and forces (eV/Å) of the molecules."""

    traits: PotentialTraits
    energy: FloatArray
    forces: FloatArray


@dataclass(frozen=True, slots=True)
class Answers:
    """What one process in the interpreter of a family answered.

    Attributes:
        numbers: What `own_numbers` returns.
        messages: For each source that the adapter was asked to load, `Error: message`, or `loaded`.
        loaded: What it loaded, by the place of the source among them.
        arrays: All that was returned.
    """

    numbers: list[tuple[FloatArray, FloatArray]]
    messages: list[str]
    loaded: dict[int, Loaded]
    arrays: Arrays


def calculate_and_load(
    arrays: Arrays,
    calculator: str,
    choices: list[dict[str, Any]],
    module: str,
    asked: list[tuple[str, bool, dict[str, Any]]],
) -> Arrays:
    """Runs in the other interpreter."""
    return calculate_each(arrays, calculator, choices) | load_each(arrays, module, asked)


def load_each(arrays: Arrays, module: str, asked: list[tuple[str, bool, dict[str, Any]]]) -> Arrays:
    """Runs in the other interpreter, where this project's packages can be imported."""
    import dataclasses
    import importlib
    import json
    from pathlib import Path

    import numpy as np

    from dataset_builders.core.errors import MlipOodError
    from harness.core.batch import StructureBatch
    from harness.core.potential import LoadOptions

    numbers, positions, n_atoms = (arrays[name] for name in ("atomic_numbers", "positions", "n_atoms"))
    batch = StructureBatch(numbers, positions, n_atoms, tuple(map(str, range(len(n_atoms)))))
    messages, traits, energy, forces = [], [], [], []
    for source, is_path, options in asked:
        try:
            potential = importlib.import_module(module).load(
                Path(source) if is_path else source, LoadOptions(**options)
            )
        except MlipOodError as error:
            messages.append(f"{type(error).__name__}: {error}")
            continue
        messages.append("loaded")
        prediction = potential.compute(batch)
        traits.append(json.dumps(dataclasses.asdict(potential.traits), default=sorted))
        energy.append(prediction.energy)
        forces.append(prediction.forces)
    return {
        "messages": np.array(messages),
        "traits": np.array(traits),
        "loaded_energy": np.array(energy),
        "loaded_forces": np.array(forces),
    }


def asked_elsewhere(
    family: str,
    calculator: Callable[..., Any],
    batch: StructureBatch,
    choices: Sequence[Mapping[str, Any]],
    asked: Sequence[tuple[Path | str, LoadOptions]],
    *,
    function: Callable[..., Arrays] = calculate_and_load,
    helpers: Sequence[Callable[..., Any]] = (),
    **arguments: Any,
) -> Answers:
    """What `own_numbers` returns, and what the adapter of the family answers for sources that it is asked to load.

    One process does both, since a family takes longer to import than to answer.

    Args:
        family: Whose environment it is; its adapter has the same name.
        calculator: As there.
        batch: As there.
        choices: As there.
        asked: Sources and options.
        function: Does more than `calculate_and_load`, which it calls.
        helpers: Functions that it calls besides.
        arguments: Its own, values that JSON can hold.
    """
    returned = run_elsewhere(
        family,
        function,
        arrays_of(batch),
        [calculator, calculate_each, load_each, calculate_and_load, *helpers],
        calculator=calculator.__name__,
        choices=list(choices),
        module=f"harness.potentials.{family}",
        asked=[(str(source), isinstance(source, Path), asdict(options)) for source, options in asked],
        **arguments,
    )
    messages = [str(message) for message in returned["messages"]]
    places = [place for place, message in enumerate(messages) if message == "loaded"]
    traits = [TypeAdapter(PotentialTraits).validate_json(str(text)) for text in returned["traits"]]
    found = map(Loaded, traits, returned["loaded_energy"], returned["loaded_forces"])
    return Answers(
        list(zip(returned["energy"], returned["forces"], strict=True)),
        messages,
        dict(zip(places, found, strict=True)),
        returned,
    )
