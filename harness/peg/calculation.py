"""The calc step: predictions of a calculator that ml-peg hands over, kept in the folder that it expects."""

import dataclasses
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Protocol

from dataset_builders.core.errors import ModelError, UsageError
from dataset_builders.core.hashes import text_sha256
from dataset_builders.core.whole_file import write_text_whole
from harness.data.dataset import PinnedDataset
from harness.peg.benchmarks import PegBenchmark

NOT_EVALUATED: Final = "not_evaluated.txt"
"""File in place of a run: why a model has none."""


class PegModel(Protocol):
    """A model of ml-peg's list, a dataclass of its `ml_peg.models.models`."""

    def get_calculator(self, *, precision: Any) -> Any:
        """Its ASE calculator."""
        ...

    def add_d3_calculator(self, calcs: Any) -> Any:
        """The calculator with D3, unless the model was trained with dispersion."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class ListedModel:
    """A model and its entry in ml-peg's list.

    Attributes:
        name: Its name there.
        model: The model.
        entry: Its entry in the file of models; empty for ml-peg's mock model, which has none.
    """

    name: str
    model: PegModel
    entry: Mapping[str, Any]


def calculate(listed: ListedModel, benchmark: PegBenchmark, dataset: PinnedDataset, outputs: Path) -> None:
    """Computes all frames that the evaluation needs, and saves predictions and result.

    What an earlier call left for this model is removed first: nothing proves that its calculator is the same. A frame
    that fails is listed, as in any evaluation; if all fail, a file says so, since ml-peg expects calculations to go on.

    Args:
        listed: The model.
        benchmark: The benchmark.
        dataset: The data at the level of the benchmark.
        outputs: Folder of all outputs of the benchmark.

    Raises:
        UsageError: If the name of the model is no name of a folder.
        SetupError: If the folder cannot be written to.
    """
    from harness.evaluation.run import RunOptions, evaluate_potential
    from harness.inference.batch_size import ON_CPU
    from harness.potentials.ase_calculator import AseCalculatorPotential

    folder = model_folder(outputs, listed.name)
    shutil.rmtree(folder, ignore_errors=True)
    calculator = listed.model.get_calculator(precision="high")
    if benchmark.has_dispersion:
        calculator = listed.model.add_d3_calculator(calculator)
    potential = AseCalculatorPotential(calculator, _traits(listed, calculator))
    try:
        evaluate_potential(potential, [dataset], RunOptions(output=folder, batch_atoms=ON_CPU))
    except ModelError as cause:
        write_text_whole(folder / NOT_EVALUATED, f"{cause}\n")


def model_folder(outputs: Path, name: str) -> Path:
    """The folder of a model below that of all outputs.

    Raises:
        UsageError: If the name of the model is no name of a folder.
    """
    if name in ("", ".", "..") or any(mark in name for mark in "/\\\0"):
        raise UsageError(
            f"the model {name!r} of ml-peg's list cannot name the folder of its outputs; rename it in the file of "
            "models, without / and \\"
        )
    return outputs / name


def _traits(listed: ListedModel, calculator: Any) -> Any:
    """What is known of the model; its hashes identify its entry in the list, and files that the entry names."""
    from harness.compute.device import resolve_device
    from harness.core.potential import PotentialTraits
    from harness.potentials.ase_calculator import packages_of
    from harness.trust.pickles import sha256_of

    entry = json.dumps(listed.entry, sort_keys=True, default=str)
    named = [Path(value) for value in (listed.entry.get("kwargs") or {}).values() if isinstance(value, str)]
    level = listed.entry.get("level_of_theory")
    modules = ("ml_peg", str(listed.entry.get("module", "")))
    packages = {package for module in modules for package in packages_of(module, calculator)}
    return PotentialTraits(
        model_id=listed.name,
        family="ase",
        elements=None,
        files={"entry in ml-peg's list": text_sha256(entry)}
        | {path.name: sha256_of(path) for path in named if path.is_file()},
        packages=tuple(sorted(packages)),
        device=str(resolve_device("auto")),
        level_of_theory=None if level is None else _as_in_the_harness(str(level)),
        level_is_stated=level is not None,
        conservative=None,
    )


def _as_in_the_harness(level: str) -> str:
    """A level of ml-peg's list, as this project spells it, so that distances between levels are found."""
    return level.replace("ω", "w")
