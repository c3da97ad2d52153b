"""The line below a table that says what a precision lower than that of the checkpoint changes."""

from harness.results.result import ModelRecord


def precision_lines(model: ModelRecord) -> list[str]:
    """What the precision changes, in one line; nothing if it is that of the checkpoint, or if it was not recorded."""
    lowered = model.lowered_precision
    return [] if lowered is None else [f"{model.dtype} {lowered.text}"]
