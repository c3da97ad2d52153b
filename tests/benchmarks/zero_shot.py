"""Published models, zero-shot on mini at their own or nearest level of theory: the tables of docs/zero-shot.md.

python -m tests.benchmarks.zero_shot --ani2x path/to/ani2x

Needs the environments of SO3LR and SevenNet (`python -m harness env create so3lr sevennet`) and the state dict of
ANI-2x; the weights of the others are in their packages. Each model is compared with GFN1-xTB at the same labels.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from dataset_builders.core.markdown import markdown_table
from dataset_builders.core.units import MILLI
from dataset_builders.core.whole_file import write_text_whole
from harness import evaluate
from harness.data.label_choice import AUTO
from harness.report.signs import side_of_one
from harness.results.result import RunResult, TaskResult
from harness.scoring.gap_ratio import gap_ratio
from model_cards.cards.result_tables import UNDEFINED, estimate_text
from tests.benchmarks.marked_tables import with_table

PAGE: Final = Path(__file__).parents[2] / "docs" / "zero-shot.md"
PACKAGED: Final = {
    "SO3LR": ("so3lr", AUTO),
    "CHGNet": ("chgnet", "pbe-d3bj"),
    "SevenNet-0": ("7net-0", "pbe-d3bj"),
}
"""Models whose weights a package carries: model and labels, by name. The last two were trained on crystals at PBE."""
CONTROLS: Final = {"GFN2-xTB": "gfn2-xtb", "MMFF94": "mmff94"}
"""Physics methods that are measured at all labels that a model is measured at, beside GFN1-xTB."""
GFN1: Final = "gfn1-xtb"
TASKS: Final = ("task2", "task3")

Row = tuple[str, ...]

_ERRORS: Final = (
    "labels",
    "model",
    "floor, ID / OOD",
    "ID, meV/Å",
    "OOD, meV/Å",
    "gap, OOD / ID",
    "gap / that of GFN1-xTB",
)
_FACTORS: Final = ("labels", "model", "composition", "conformers", "unseen parts", "combination")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ani2x", type=Path, required=True, help="folder of its state dict")
    parser.add_argument("--output", type=Path, default=Path("results") / "zero-shot")
    arguments = parser.parse_args()
    models = {"ANI-2x": (str(arguments.ani2x), AUTO), **PACKAGED}
    found = {
        name: evaluate(model, labels=labels, output=arguments.output, quiet=True)
        for name, (model, labels) in models.items()
    }
    levels: dict[str, list[str]] = {}
    for name, result in found.items():
        levels.setdefault(result.dataset.level.name, []).append(name)
    errors: list[Row] = []
    factors: list[Row] = []
    for level, names in levels.items():
        of_level = {name: found[name] for name in names}
        tasks = [task for task in TASKS if all(task in result.tasks for result in of_level.values())]
        physics = {"GFN1-xTB": GFN1, **CONTROLS}
        for name, control in physics.items():
            of_level[name] = evaluate(control, tasks=tasks, labels=level, output=arguments.output, quiet=True)
        errors += error_rows(of_level, tasks)
        factors += factor_rows(of_level, tasks)
    write_tables(errors, factors)


def write_tables(errors: Sequence[Row], factors: Sequence[Row]) -> None:
    """Writes both tables into the page."""
    page = with_table(PAGE.read_text(encoding="utf-8"), "errors", markdown_table(_ERRORS, errors, "right"))
    write_text_whole(PAGE, with_table(page, "factors", markdown_table(_FACTORS, factors, "right")))


def error_rows(results: Mapping[str, RunResult], tasks: Sequence[str]) -> Iterator[Row]:
    """Errors and gaps of models at one level of the labels, GFN1-xTB among them, task by task."""
    for task in tasks:
        control = results["GFN1-xTB"].tasks[task]
        for name, result in results.items():
            own, floor = result.tasks[task], result.floor
            ratio = None if name == "GFN1-xTB" else gap_ratio(own, control)
            yield (
                *_places(task, name, result),
                UNDEFINED if floor is None else f"{floor.test_id / MILLI:.1f} / {floor.test_ood / MILLI:.1f}",
                estimate_text(own.splits["test_id"].metrics["force_mae"], 1.0 / MILLI),
                estimate_text(own.splits["test_ood"].metrics["force_mae"], 1.0 / MILLI),
                estimate_text(own.gap, digits=2),
                UNDEFINED if ratio is None else estimate_text(ratio, digits=2),
            )


def factor_rows(results: Mapping[str, RunResult], tasks: Sequence[str]) -> Iterator[Row]:
    """The factors of the same gaps."""
    for task in tasks:
        for name, result in results.items():
            yield (*_places(task, name, result), *_factors(result.tasks[task]))


def _places(task: str, name: str, result: RunResult) -> tuple[str, str]:
    """Task and level of the labels, and the model, with its level where that is another one and not its name."""
    level = result.model.level_of_theory
    is_named = level in (name, result.dataset.level_of_theory)
    return f"{task}, {result.dataset.level_of_theory}", name if is_named else f"{name} ({level})"


def _factors(task: TaskResult) -> Iterator[str]:
    found = task.anatomy
    factors = {} if found is None else found.factors
    for name in ("composition", "conformers", "unseen_parts", "combination"):
        # Where unseen parts and combination are one factor, it is in the last column.
        is_joint = name == "combination" and "remaining" in factors
        factor = factors.get("remaining" if is_joint else name)
        if factor is None or factor.value is None:
            yield "–"
        else:
            yield f"{factor.value:.2f}{side_of_one(factor.low, factor.high)}{' *' if is_joint else ''}"


if __name__ == "__main__":
    main()
