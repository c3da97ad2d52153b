"""Run calculations for a benchmark of compositional generalisation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from harness.peg.benchmarks import find_benchmark, labels_of
from harness.peg.calculation import ListedModel, calculate
from ml_peg.models import current_models
from ml_peg.models.get_models import load_model_configs, load_models

BENCHMARK = find_benchmark(Path(__file__).parent.name)
MODELS = load_models(current_models)
ENTRIES, _ = load_model_configs(MODELS)
OUT_PATH = Path(__file__).parent / "outputs"


@pytest.mark.fast
@pytest.mark.parametrize("mlip", MODELS.items())
def test_fragments(mlip: tuple[str, Any]) -> None:
    """
    Compute energies and forces of all frames of the benchmark.

    Parameters
    ----------
    mlip
        Name of model use and model to get calculator.
    """
    model_name, model = mlip
    dataset = labels_of(BENCHMARK)
    if isinstance(dataset, str):
        pytest.skip(dataset)
    calculate(
        ListedModel(model_name, model, ENTRIES[model_name]),
        BENCHMARK,
        dataset,
        OUT_PATH,
    )
