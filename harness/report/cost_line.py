"""The line below a table that says what an evaluation cost."""

from harness.results.result import RunResult


def cost_lines(result: RunResult) -> list[str]:
    """Speed, precision, batch, processor and peak memory of a result; nothing if it was not timed."""
    cost, batch = result.cost, result.settings.batch_atoms
    if cost is None:
        return []
    size = "batches of several sizes" if batch is None else f"batches of {batch:,} atoms"
    counted = f"{cost.n_timed:,} of {cost.n_structures:,} structures timed" if cost.structures_per_second else None
    parts = (cost.speed_text, size, result.model.dtype, f"on {cost.hardware_text}", cost.memory_text, counted)
    return [f"speed of {result.model.id}: {', '.join(part for part in parts if part)}"]
