"""Any ASE calculator, through a function that makes it: the slow path, for models without an adapter.

`--family ase --calculator package.module:function` names the function. It is called with the path of the checkpoint,
or `None` if there is none, and with the name of the device:

    def make(path: Path | None, device: str) -> ase.calculators.calculator.Calculator: ...

The module may be in the working directory. Structures are computed one after another, each from a cold start.
"""

import importlib
import inspect
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import numpy as np

from dataset_builders.core.arrays import FloatArray
from dataset_builders.core.errors import ModelError, SetupError, UsageError
from harness.compute.device import device_name, out_of_memory_as_itself
from harness.core.batch import Prediction, StructureBatch, numbers_of_model
from harness.core.family import Family
from harness.core.installed_packages import installed_packages
from harness.core.potential import LoadOptions, Potential, PotentialTraits
from harness.core.source_code import working_files
from harness.trust.errors_of_others import cause_of, must_propagate
from harness.trust.pickles import sha256_of

FAMILY: Final = Family("ase", __name__, "ase", is_open=True, is_pickled=True)

NEUTRAL_SINGLET: Final = {"charge": 0, "spin": 1}
"""Content of `atoms.info`, where calculators of several families read charge and spin multiplicity."""

_SIGNATURE: Final = "function(path: Path | None, device: str) -> Calculator"
_EXPECTED: Final = (
    "expected --calculator package.module:function with the dotted name of a module, which may be in the working "
    f"directory, and a {_SIGNATURE} in it"
)


class AseCalculatorPotential:
    """An ASE calculator.

    Args:
        calculator: The calculator.
        traits: Its traits.
    """

    def __init__(self, calculator: Any, traits: PotentialTraits) -> None:
        self._calculator = calculator
        self._traits = traits

    @property
    def traits(self) -> PotentialTraits:
        """What is known about the potential."""
        return self._traits

    def compute(self, batch: StructureBatch) -> Prediction:
        """Energies (eV) and forces (eV/Å); a structure that the calculator cannot compute is a failure.

        Raises:
            ModelError: If the calculator does not return an energy and forces that fit the structure.
            torch.OutOfMemoryError: If a structure does not fit on the device.
        """
        from ase import Atoms

        energy = np.full(batch.n_structures, np.nan)
        forces = np.full((len(batch.atomic_numbers), 3), np.nan)
        failures: dict[int, str] = {}
        for index, (start, end) in enumerate(pairwise(batch.offsets)):
            part = slice(start, end)
            atoms = Atoms(
                numbers=batch.atomic_numbers[part], positions=batch.positions[part], info=dict(NEUTRAL_SINGLET)
            )
            try:
                with out_of_memory_as_itself():
                    energy[index], forces[part] = self._compute_one(atoms)
            # Whatever third-party code raises, even SystemExit, fails only this structure.
            except BaseException as cause:
                if must_propagate(cause):
                    raise
                failures[index] = cause_of(cause)
        return Prediction(energy, forces, failures)

    def _compute_one(self, atoms: Any) -> tuple[float, FloatArray]:
        # State of the previous structure, such as initial orbitals, would make results depend on the order.
        reset = getattr(self._calculator, "reset", None)
        if callable(reset):
            reset()
        atoms.calc = self._calculator
        # Forces first: a calculator that computes only on request then has the energy, too.
        model_id = self._traits.model_id
        forces = numbers_of_model(f"forces of {model_id}", atoms.get_forces(), (len(atoms), 3))
        energy = float(numbers_of_model(f"energy of {model_id}", atoms.get_potential_energy(), ()))
        if not (np.isfinite(energy) and np.isfinite(forces).all()):
            raise ArithmeticError("energy or forces are not finite")
        return energy, forces


def load(source: Path | str, options: LoadOptions) -> Potential:
    """Makes a calculator by the user's function.

    A calculator does not state how it computes. Its precision is recorded as float64, the type of its output; its
    device is the one passed to the function; and its forces are assumed to be the negative gradient of its energy.

    Args:
        source: Checkpoint for the function, a file or a folder; or the name of a calculator that needs none.
        options: Only the calculator, the device and trust are used.

    Raises:
        UsageError: If no function is named or it is missing, the device is absent, or a precision or a readout head
            was requested, which the function determines.
        SetupError: If a package that the module imports is not installed.
        ModelError: If the checkpoint is not trusted, or the function makes no calculator with energies and forces.
    """
    name = options.calculator
    if name is None:
        raise UsageError(f"the family ase needs a function that makes the calculator; {_EXPECTED}")
    for option, value in (("--dtype", options.dtype), ("--head", options.head)):
        if value is not None:
            raise UsageError(f"{name} determines this itself, so it takes no {option} {value}; leave it out")
    path = source if isinstance(source, Path) else None
    if path is not None and not options.trust_checkpoint:
        raise ModelError(
            f"{source} is passed to {name}, which may run code in it. If you trust its source, add --trust-checkpoint"
        )
    device = device_name(options.device)
    files = {} if path is None else _files(path)
    module = _module_of(name)
    # Keyed by the name of the function, since two functions of a module are two models.
    code = {name: sha256_of(Path(str(module.__file__)))} | _files_beside(module.__name__)
    calculator = _made(_function_of(module, name), name, path, device)
    traits = PotentialTraits(
        model_id=str(source),
        family="ase",
        elements=None,
        files=files | code,
        packages=packages_of(module.__name__, calculator),
        dtype="float64",
        device=device,
        conservative=None,
    )
    return AseCalculatorPotential(calculator, traits)


def _files(path: Path) -> dict[str, str]:
    """sha256 of a file, or of each file below a folder."""
    if not path.is_dir():
        return {path.name: sha256_of(path)}
    below = sorted(each for each in path.rglob("*") if each.is_file())
    return {each.relative_to(path).as_posix(): sha256_of(each) for each in below}


def _files_beside(module: str) -> dict[str, str]:
    """sha256 of the user's other modules that a module imports, by name; no package version identifies them."""
    return {name: sha256_of(path) for name, path in working_files(module).items() if name != module}


def _module_of(name: str) -> ModuleType:
    module, _, function = name.partition(":")
    if not all(part.isidentifier() for part in (*module.split("."), function)):
        raise UsageError(f"--calculator {name!r} names no function; {_EXPECTED}")
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as cause:
        if f"{module}.".startswith(f"{cause.name}."):
            raise UsageError(f"--calculator {name}: {cause}; {_EXPECTED}") from cause
        raise SetupError(f"--calculator {name}: its module imports a package that is not installed: {cause}") from cause
    except BaseException as cause:
        if must_propagate(cause):
            raise
        raise ModelError(
            f"--calculator {name}: its module cannot be imported: {cause_of(cause)}; try `import {module}`"
        ) from cause
    if getattr(found, "__file__", None) is None:
        raise UsageError(f"--calculator {name}: {module} is not a module with a file; {_EXPECTED}")
    return found


def _function_of(module: ModuleType, name: str) -> Callable[..., Any]:
    attribute = name.partition(":")[2]
    function = getattr(module, attribute, None)
    if function is None:
        there = [each for each, value in vars(module).items() if inspect.isfunction(value) and not each.startswith("_")]
        raise UsageError(
            f"--calculator {name}: {module.__file__} has no {attribute!r}; it has: {' '.join(there) or 'no function'}"
        )
    # A class would receive the path and the device as its first two arguments, whatever these mean.
    if not callable(function) or isinstance(function, type):
        kind = "class" if isinstance(function, type) else type(function).__name__
        raise UsageError(f"--calculator {name} is a {kind}; expected a {_SIGNATURE} that does this")
    return function  # type: ignore[no-any-return]


def _made(function: Callable[..., Any], name: str, path: Path | None, device: str) -> Any:
    try:
        inspect.signature(function).bind(path, device)
    except (TypeError, ValueError) as cause:  # ValueError: a builtin without a signature
        raise UsageError(f"--calculator {name} takes other arguments ({cause}); expected a {_SIGNATURE}") from cause
    try:
        calculator = function(path, device)
    except BaseException as cause:
        if must_propagate(cause):
            raise
        where = "no path" if path is None else str(path)
        raise ModelError(f"--calculator {name} failed on {where} and device {device!r}: {cause_of(cause)}") from cause
    if not all(callable(getattr(calculator, method, None)) for method in ("get_potential_energy", "get_forces")):
        raise ModelError(
            f"--calculator {name} returned a {type(calculator).__name__}; expected an ASE Calculator, which has "
            "get_potential_energy and get_forces"
        )
    lacking = {"energy", "forces"} - set(getattr(calculator, "implemented_properties", ("energy", "forces")))
    if lacking:
        raise ModelError(f"the calculator of {name} has no {' and no '.join(sorted(lacking))}; both are needed")
    return calculator


def packages_of(module: str, calculator: Any) -> tuple[str, ...]:
    """ASE, and the installed packages that contain a module, by its name, and the class of a calculator."""
    known = installed_packages()
    tops = {name.partition(".")[0] for name in (module, type(calculator).__module__)}
    return tuple(sorted({"ase"}.union(*(known.get(top, ()) for top in tops))))
