"""What the numbers were made from, and the command that makes them again."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from dataset_builders.chemistry.levels import GFN2
from dataset_builders.tasks.regions import TaskName
from harness.models.registry import families
from harness.pages.report.view import ReportedRun
from harness.report.model_lines import protocol_of
from harness.report.precision_line import precision_lines
from harness.report.table import footer
from harness.report.view import View
from harness.results.result import USER, RunResult


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where the numbers of a run come from.

    Attributes:
        name: Name of the model.
        command: Evaluates the same model on the same data.
        facts: Label and value, in order.
        lines: What the terminal prints below the table: data, model, cost and cautions.
    """

    name: str
    command: str
    facts: tuple[tuple[str, str], ...]
    lines: tuple[str, ...]


def provenance(run: ReportedRun, control_gaps: Mapping[TaskName, float]) -> Provenance:
    """The provenance of a run."""
    result = run.result
    model, data, environment = result.model, result.dataset, result.environment
    packages = ", ".join(f"{name} {version}" for name, version in sorted(environment.packages.items()))
    facts = [
        ("model", model.id + (f" @ {model.revision}" if model.revision else "")),
        ("family", model.family),
        ("protocol", protocol_of(model)),
        ("level of theory of the model", model.level_of_theory or "unknown"),
        ("level of theory of the labels", data.level_of_theory),
        *((f"sha256 of {name}", sha256) for name, sha256 in sorted(model.files.items())),
        ("data set", data.id + (f" @ {data.revision}" if data.revision else "")),
        ("edition", data.edition),
        ("content hash of the data", data.content_hash),
        ("code hash", environment.code_hash),
        ("precision and device", f"{model.dtype} on {model.device}"),
        *(("effect of the precision", line) for line in precision_lines(model)),
        ("software", f"Python {environment.python} on {environment.platform}; {packages}"),
        ("intervals", f"{100.0 * result.settings.confidence:g} %, see docs/intervals.md"),
        ("result", f"schema {result.schema_version}, run {run.saved.directory.resolve().name}"),
    ]
    lines = footer([result], control_gaps, View(provenance=True))
    return Provenance(run.name, command(result), tuple(facts), tuple(lines))


def caution_lines(run: ReportedRun, control_gaps: Mapping[TaskName, float]) -> list[str]:
    """The lines of the terminal that a reader must see first: cautions, questions, and failed frames."""
    urgent = ("caution", "question", "* ")
    return [line for line in footer([run.result], control_gaps, View(provenance=True)) if line.startswith(urgent)]


def command(result: RunResult) -> str:
    """The command that evaluates the same model on the same data, with the same settings."""
    model, data = result.model, result.dataset
    name = model.id + (f"@{model.revision}" if model.revision else "")
    words = ["python", "-m", "harness", f"--model={name}" if name.startswith("-") else "--model", name]
    if name.startswith("-"):
        words.pop()
    words += ["--dataset", data.id + (f"@{data.revision}" if data.revision else "")]
    words += ["--task", *result.tasks]
    words += ["--labels", data.level.name] if data.level != GFN2 or not result.levels_agree else []
    if model.training == "stated" and model.stated_by == USER:
        words += ["--trained-on", model.trained_on] if model.trained_on else []
        words += ["--protocol", model.protocol]
        words += ["--base", model.base] if model.base else []
    if model.level_is_stated and model.level_of_theory:
        words += ["--level-of-theory", model.level_of_theory]
    words += ["--head", model.head] if model.head else []
    words += ["--dtype", model.dtype] if model.dtype != "mixed" and model.protocol != "control" else []
    words += ["--compile"] if model.is_compiled else []
    if any(family.name == model.family and family.is_pickled for family in families()):
        words.append("--trust-checkpoint")
    return shlex.join(words)
