"""The model card of a checkpoint in the format of this project."""

import hashlib
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from dataset_builders.errors import DataError, UsageError
from dataset_builders.tasks import find_task
from harness.checkpoints.format import WEIGHTS_FILE, CheckpointConfig, read_config, symbol_of
from harness.result import RunResult
from model_cards.results import results_table


def render_card(checkpoint: Path, results: Sequence[RunResult]) -> str:
    """The card: what the model is, how it was trained, what it scores and how to get the same numbers.

    Args:
        checkpoint: Folder with `config.json` and `model.safetensors`.
        results: Evaluations of this checkpoint, and of others to compare it with, on one data set.

    Returns:
        Markdown with YAML front matter.

    Raises:
        ModelError: If the folder is no checkpoint.
        UsageError: If no result is of this checkpoint.
        DataError: If the results are of different data sets.
    """
    import jinja2

    config = read_config(checkpoint)
    weights_hash = hashlib.sha256((checkpoint / WEIGHTS_FILE).read_bytes()).hexdigest()
    own = [result for result in results if weights_hash in result.model.files.values()]
    if not own:
        seen = ", ".join(result.model.id for result in results) or "none"
        raise UsageError(
            f"no result is of the weights in {checkpoint} (sha256 {weights_hash[:12]}); results given: {seen}. "
            f"Evaluate it first: python -m harness --model {checkpoint}"
        )
    hashes = {result.dataset.content_hash for result in results}
    if len(hashes) > 1:
        raise DataError(f"the results are of {len(hashes)} data sets; a card compares models on one")
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined, keep_trailing_newline=True, trim_blocks=True, autoescape=False
    )
    template = environment.from_string((files("model_cards") / "templates" / "checkpoint.md.jinja").read_text())
    return template.render(_context(config, weights_hash, own[0], results))


def _context(
    config: CheckpointConfig, weights_hash: str, own: RunResult, results: Sequence[RunResult]
) -> dict[str, Any]:
    return {
        "config": config,
        "task": find_task(config.trained_on),
        "elements": " ".join(symbol_of(number) for number in config.elements),
        "training": config.training,
        "weights_hash": weights_hash,
        "dataset": own.dataset,
        "environment": own.environment,
        "device": own.model.device,
        "models": " ".join(f"--model {result.model.id}" for result in results),
        "table": results_table(results),
    }
