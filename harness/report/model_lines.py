"""What a model is, in the notes below a table: in two lines, or in full with hashes and cost."""

from typing import Final

from dataset_builders.core.hashes import SHORT_HASH
from harness.report.cost_line import cost_lines
from harness.report.leak_cautions import errors_on_train
from harness.report.level_cautions import evidence_for_level, short_evidence_for_level
from harness.report.precision_line import precision_lines
from harness.results.result import ModelRecord, RunResult

_PROVED: Final = ", proved by its checkpoint"


def short_lines(result: RunResult, name: str, width: int) -> list[str]:
    """The model in few lines: what it is and was trained on, how fast it was computed, and what its precision changes.

    Args:
        result: Its result.
        name: Its name in the table.
        width: Columns of the terminal.
    """
    model, cost = result.model, result.cost
    level = f"level of theory {model.level_of_theory or 'unknown'}{short_evidence_for_level(model)}"
    score = "" if result.overall_score is None else f"; overall score {result.overall_score:.1f}"
    speed = "" if cost is None else f", {cost.speed_text} on {cost.hardware_text}"
    lines = [
        f"{name} ({model.family}): {_short_protocol(model)}; {level}{score}",
        f"  {model.dtype} on {model.device}{speed}",
    ]
    joined = f"{lines[0]}; {lines[1].strip()}"
    return [*([joined] if len(joined) <= width else lines), *(f"  {line}" for line in precision_lines(model))]


def _short_protocol(model: ModelRecord) -> str:
    said = protocol_of(model)
    return f"{said.removesuffix(_PROVED)} (proved)" if said.endswith(_PROVED) else said


def full_lines(result: RunResult) -> list[str]:
    """The model with hashes of its files and of the code, its cost, and its errors on training frames."""
    on_train = errors_on_train(result)
    lowered = precision_lines(result.model)
    return [_model_line(result), *cost_lines(result), *lowered, *([] if on_train is None else [on_train])]


def _model_line(result: RunResult) -> str:
    model = result.model
    files = ", ".join(f"{name} {sha256[:SHORT_HASH]}" for name, sha256 in sorted(model.files.items()))
    parts = [
        f"{model.id} ({model.family})",
        *([f"commit {model.revision[:SHORT_HASH]}"] if model.revision else []),
        f"protocol {protocol_of(model)}",
        *([f"training not finished ({model.unfinished})"] if model.unfinished else []),
        f"level of theory {model.level_of_theory or 'unknown'}{evidence_for_level(model)}",
        f"{model.dtype} on {model.device}",
        *([files] if files else []),
        f"code {result.environment.code_hash[:SHORT_HASH]}",
    ]
    score = "" if result.overall_score is None else f"; overall score {result.overall_score:.1f}"
    return "model " + ", ".join(parts) + score


def protocol_of(model: ModelRecord) -> str:
    """The protocol, and the evidence for it."""
    said = model.protocol + (f" on {model.trained_on}" if model.trained_on else "")
    said += f" of {model.base}" if model.base else ""
    if model.training == "proved":
        return said + _PROVED
    where = f", as stated by {model.stated_by}" if model.stated_by else ""
    return said + where + (f" ({model.unchecked})" if model.unchecked else "")
