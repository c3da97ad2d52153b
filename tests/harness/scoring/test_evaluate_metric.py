import json
from pathlib import Path
from typing import Any

import evaluate
import numpy as np
import pytest

from dataset_builders.core.errors import DataError
from harness.scoring import metrics
from harness.scoring.intervals import IntervalSettings
from tests.harness.frame_tables import evaluate_frames, make_task

FOLDER = Path(__file__).parents[3] / "harness" / "metric" / "mlip_ood"


@pytest.fixture(scope="module", autouse=True)
def own_module_cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Keeps the copies that `evaluate` makes of a script out of the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("evaluate.config.HF_MODULES_CACHE", str(tmp_path_factory.mktemp("modules")))
        yield


@pytest.fixture
def metric(tmp_path: Path) -> evaluate.Metric:
    return evaluate.load(str(FOLDER), cache_dir=str(tmp_path))


def structures(energy: np.ndarray, forces: np.ndarray, n_atoms: np.ndarray) -> list[dict[str, Any]]:
    pieces = np.split(forces, np.cumsum(n_atoms)[:-1])
    return [{"energy": e, "forces": piece.ravel().tolist()} for e, piece in zip(energy.tolist(), pieces, strict=True)]


@pytest.fixture(scope="module")
def inputs() -> dict[str, Any]:
    ood = make_task().test_ood
    names = [ood.index.molecules[i].molecule_id for i in ood.index.molecule_idx]
    return {
        "predictions": structures(ood.predicted.energy, ood.predicted.forces, ood.index.n_atoms),
        "references": structures(ood.reference.energy, ood.reference.forces, ood.index.n_atoms),
        "molecule_id": names,
    }


def test_metric_gives_the_numbers_of_the_harness(metric: evaluate.Metric, inputs: dict[str, Any]) -> None:
    found = metric.compute(**inputs)
    expected = evaluate_frames(make_task(), IntervalSettings()).splits["test_ood"]
    for name in set(found) & set(metrics.UNITS):
        assert found[name] == pytest.approx(expected.metrics[name].value), name
        assert found[f"{name}_low"] < found[name] < found[f"{name}_high"]
    assert len(set(found) & set(metrics.UNITS)) == 6
    assert (found["n_structures"], found["n_molecules"]) == (20, 4)
    json.dumps(found, allow_nan=False)


def test_metric_takes_structures_batch_by_batch(
    metric: evaluate.Metric, inputs: dict[str, Any], tmp_path: Path
) -> None:
    at_once = evaluate.load(str(FOLDER), cache_dir=str(tmp_path / "other")).compute(**inputs)
    for start in range(0, 20, 8):
        metric.add_batch(**{name: values[start : start + 8] for name, values in inputs.items()})
    assert metric.compute() == at_once


def test_metric_runs_in_process(inputs: dict[str, Any], tmp_path: Path) -> None:
    from harness.metric.mlip_ood.mlip_ood import MlipOod

    found = MlipOod(cache_dir=str(tmp_path)).compute(**inputs)
    assert found["force_mae"] == pytest.approx(0.16, rel=0.1)


def test_example_of_the_readme(metric: evaluate.Metric) -> None:
    found = metric.compute(
        predictions=[{"energy": -10.1, "forces": [0.1, 0.0, 0.0]}, {"energy": -10.4, "forces": [0.0, 0.2, 0.0]}],
        references=[{"energy": -10.0, "forces": [0.1, 0.0, 0.1]}, {"energy": -10.5, "forces": [0.0, 0.1, 0.0]}],
        molecule_id=["OH-2-H", "OH-2-H"],
    )
    # Errors 0.1 on two of six components; centred 0.15 and -0.15 against 0.25 and -0.25.
    assert found["force_mae"] == pytest.approx(0.2 / 6.0)
    assert found["centred_energy_mae"] == pytest.approx(0.1)
    assert found["centred_energy_spearman"] == 1.0
    assert (found["force_mae_low"], found["force_mae_high"]) == (None, None)


@pytest.mark.parametrize(
    ("forces", "message"),
    [([0.1, 0.2], r"predictions\[0\] has 2 force components"), ([0.0] * 6, r"on 2 atoms and references\[0\] on 1")],
)
def test_forces_that_do_not_fit_are_refused(metric: evaluate.Metric, forces: list[float], message: str) -> None:
    with pytest.raises(DataError, match=message):
        metric.compute(
            predictions=[{"energy": 0.0, "forces": forces}],
            references=[{"energy": 0.0, "forces": [0.0, 0.0, 1.0]}],
            molecule_id=["OH-2-H"],
        )


def test_script_leaves_the_arithmetic_to_the_package() -> None:
    text = (FOLDER / "mlip_ood.py").read_text(encoding="utf-8")
    assert not any(word in text for word in (".mean(", "np.abs", "np.sqrt", ".sum(", "quantile"))
