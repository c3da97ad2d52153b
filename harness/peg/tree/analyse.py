"""Analyse a benchmark of compositional generalisation."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from harness.peg.analysis import Measured, force_maes, interval_rows, measured, table_of
from harness.peg.benchmarks import CATEGORY, find_benchmark, labels_of
from harness.peg.columns import columns_of
from harness.peg.one_edition import keep_to_one_edition
from harness.peg.structures import INFO_KEYS, write_structures
from ml_peg import analysis
from ml_peg.analysis.utils.decorators import build_table, plot_scatter
from ml_peg.analysis.utils.utils import (
    build_dispersion_name_map,
    get_struct_info,
    load_metrics_config,
)
from ml_peg.app import APP_ROOT
from ml_peg.calcs import CALCS_ROOT
from ml_peg.models import current_models
from ml_peg.models.get_models import get_model_names

NAME = Path(__file__).parent.name
BENCHMARK = find_benchmark(NAME)
MODELS = get_model_names(current_models)
CALC_PATH = CALCS_ROOT / CATEGORY / NAME / "outputs"
OUT_PATH = APP_ROOT / "data" / CATEGORY / NAME

DATASET = labels_of(BENCHMARK)
if isinstance(DATASET, str):
    pytest.skip(DATASET, allow_module_level=True)

COLUMNS = columns_of(DATASET.tasks)
THRESHOLDS, TOOLTIPS, WEIGHTS = (
    {column: settings[column] for column in COLUMNS}
    for settings in load_metrics_config(Path(__file__).with_name("metrics.yml"))
)


@pytest.fixture(scope="module")
def found() -> Measured:
    """
    Compute metrics of all models from their saved predictions.

    Returns
    -------
    Measured
        Results, and reasons for the absence of others.
    """
    keep_to_one_edition(OUT_PATH, DATASET, is_update=analysis.update_results)
    found = measured(MODELS, DATASET, CALC_PATH)
    for model, reason in found.reasons.items():
        print(f"{model}: {reason}")
    return found


@pytest.fixture
@build_table(
    filename=OUT_PATH / "metrics_table.json",
    metric_tooltips=TOOLTIPS,
    thresholds=THRESHOLDS,
    weights=WEIGHTS,
    mlip_name_map=build_dispersion_name_map() if BENCHMARK.has_dispersion else None,
)
def metrics(found: Measured) -> dict[str, dict[str, float]]:
    """
    Get all metrics.

    Parameters
    ----------
    found
        Results of all models.

    Returns
    -------
    dict[str, dict[str, float]]
        Values by metric and model.
    """
    return table_of(found, DATASET.tasks)


@pytest.fixture
def figures(found: Measured) -> None:
    """
    Draw the force error of each molecule against the length of its chain, by task.

    Parameters
    ----------
    found
        Results of all models.
    """
    write_structures(DATASET, OUT_PATH / "structures")
    info = get_struct_info(
        calc_path=OUT_PATH,
        model_name="structures",
        info_keys=list(INFO_KEYS),
        write_structs=False,
        out_path=OUT_PATH,
        include_filenames=True,
    )
    for task in DATASET.tasks:
        order = ("split", "spacer", "molecule_id")
        rows = sorted(
            (row for row, other in enumerate(info["task"]) if other == task),
            key=lambda row: tuple(info[key][row] for key in order),
        )
        here = {key: [values[row] for row in rows] for key, values in info.items()}
        places = list(zip(here["split"], here["molecule_id"], strict=True))
        chains = [
            f"{'OOD' if split == 'test_ood' else 'ID'} {spacer}"
            for split, spacer in zip(here["split"], here["spacer"], strict=True)
        ]
        plot = plot_scatter(
            filename=OUT_PATH / f"figure_{task}.json",
            title=f"Force error of each molecule of {task}",
            x_label="Molecules of training (ID) and unseen (OOD), by CH2 groups",
            y_label="Force MAE / meV/Å",
            hovertemplate="%{y:.1f} meV/Å<br>",
            hoverdata={
                "Molecule": here["molecule_id"],
                "Split": here["split"],
                "Structure": here["filenames"],  # last, as the viewer expects
            },
        )
        errors = {
            model: (chains, force_maes(result, task, places))
            for model, result in found.results.items()
        }
        plot(lambda errors=errors: errors)()


@pytest.fixture
def intervals(found: Measured) -> None:
    """
    Save the numbers of all models with their confidence intervals.

    Parameters
    ----------
    found
        Results of all models.
    """
    path = OUT_PATH / "intervals.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = []
    if analysis.update_results and path.exists():
        saved = json.loads(path.read_text(encoding="utf8"))
        kept = [row for row in saved if row["MLIP"] not in MODELS]
    path.write_text(json.dumps(kept + interval_rows(found), indent=1), encoding="utf8")


def test_fragments(metrics: dict[str, dict], figures: None, intervals: None) -> None:
    """
    Run analysis of the benchmark.

    Parameters
    ----------
    metrics
        Values by metric and model.
    figures
        Figures were saved.
    intervals
        Intervals were saved.
    """
    return
