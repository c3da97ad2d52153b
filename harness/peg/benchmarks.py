"""The benchmarks of ml-peg that the port consists of: one for each level of theory, since a metric there has one."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from dataset_builders.chemistry.levels import LevelName, find_level
from dataset_builders.core.errors import UsageError
from harness.data.dataset import MINI, PinnedDataset, open_levels

CATEGORY: Final = "compositional_generalisation"
"""Name of the category in ml-peg, a folder in each of `calcs`, `analysis` and `app`."""

DATASET_VARIABLE: Final = "MLIP_OOD_PEG_DATASET"
"""Environment variable with the data set, since the commands of ml-peg have no option for it; `mini` if unset."""


@dataclass(frozen=True, slots=True)
class PegBenchmark:
    """A benchmark of ml-peg.

    Attributes:
        name: Its name there, and that of its folders.
        level: Level of theory of its labels.
        level_in_peg: That level as ml-peg spells it; it compares levels of models and metrics as text.
        has_dispersion: Whether the labels include dispersion, so that ml-peg adds D3 to models that lack it.
    """

    name: str
    level: LevelName
    level_in_peg: str
    has_dispersion: bool


BENCHMARKS: Final[Mapping[str, PegBenchmark]] = MappingProxyType(
    {
        each.name: each
        for each in (
            PegBenchmark("fragments_GFN2", "gfn2-xtb", "GFN2-xTB", has_dispersion=True),
            PegBenchmark("fragments_PBE_D3", "pbe-d3bj", "PBE+D3", has_dispersion=True),
            PegBenchmark("fragments_wB97X", "wb97x", "ωB97X/6-31G(d)", has_dispersion=False),
            PegBenchmark("fragments_wB97M_D3", "wb97m-d3bj", "ωB97M-D3(BJ)/def2-TZVPPD", has_dispersion=True),
        )
    }
)
"""The benchmarks by name."""


def find_benchmark(name: str) -> PegBenchmark:
    """A benchmark by its name.

    Raises:
        UsageError: If there is none of this name.
    """
    if name not in BENCHMARKS:
        raise UsageError(f"the port has no benchmark {name!r}; it has: {' '.join(BENCHMARKS)}")
    return BENCHMARKS[name]


def dataset_text() -> str:
    """The data set that the user chose.

    Raises:
        UsageError: If the variable is set to nothing.
    """
    text = os.environ.get(DATASET_VARIABLE, MINI)
    if not text.strip():
        raise UsageError(
            f"{DATASET_VARIABLE} is empty; expected mini, a folder or a Hub id, or leave it unset for mini"
        )
    return text


def labels_of(benchmark: PegBenchmark) -> PinnedDataset | str:
    """The data set at the level of a benchmark.

    Returns:
        The data set; or, if it has no labels at this level, a sentence that says so.

    Raises:
        UsageError: If the variable is set to nothing.
        DataError: If the data set is absent, incomplete or damaged.
        SetupError: If the Hub cannot be reached.
    """
    text, wanted = dataset_text(), find_level(benchmark.level).method
    datasets = open_levels(text)
    for dataset in datasets:
        if dataset.level_of_theory == wanted:
            return dataset
    held = ", ".join(each.level_of_theory for each in datasets)
    return f"{text} has no labels at {wanted}, only at {held}"
