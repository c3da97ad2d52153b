"""What the pages of findings state: the power law of a training, and the comparison of training sets."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dataset_builders.core.errors import DataError
from harness.cli import main as cli
from harness.networks.finished import holds_finished_checkpoint
from harness.scoring.clusters import Clusters
from harness.scoring.influences import Effect, MoleculeSums, ratio_effect
from tests.benchmarks import closing_the_gap
from tests.benchmarks.convergence import report as convergence_report
from tests.benchmarks.convergence import runs as convergence_runs
from tests.benchmarks.convergence.fit import LATE_RANGE, power_law
from tests.benchmarks.diversity import report as diversity_report
from tests.benchmarks.diversity.series import PAIR_SPACERS, training_sets
from tests.benchmarks.recorded_runs import read_records
from tests.harness.small_dataset import write_dataset

FRAGMENTS = ("CHO", "CN", "COOH", "Cl", "F", "NH2", "OH", "SH")
ID_ERRORS = np.geomspace(0.2, 0.01, 9)


def effect(part: str, errors: np.ndarray) -> Effect:
    weights = np.ones(len(errors))
    clusters = Clusters(part, "fragment", tuple((name,) for name in FRAGMENTS))
    found = ratio_effect(MoleculeSums(errors, weights, "none"), clusters)
    assert found is not None
    return found


def checkpoints(
    exponents: np.ndarray, factors: np.ndarray, id_errors: np.ndarray = ID_ERRORS
) -> list[tuple[Effect, Effect]]:
    """A molecule of each fragment in either split, whose OOD error follows a power law of its own."""
    ones = np.ones(len(FRAGMENTS))
    return [
        (effect("test_id", error * ones), effect("test_ood", factors * 0.1 * (error / 0.02) ** exponents))
        for error in id_errors
    ]


def test_an_exact_law_is_found_and_hard_fragments_do_not_widen_its_exponent() -> None:
    factors = np.linspace(0.5, 2.0, len(FRAGMENTS))
    law = power_law(checkpoints(np.full(len(FRAGMENTS), 0.75), factors), at=0.002)
    assert law.exponent.value == pytest.approx(0.75, abs=1e-12)
    assert law.exponent.low == pytest.approx(0.75, abs=1e-9) or law.exponent.low is None
    expected = factors.mean() * 0.1 * (0.002 / 0.02) ** 0.75 / 0.002
    assert law.gap.value == pytest.approx(expected, rel=1e-12)
    assert law.gap.low is not None
    assert law.gap.high is not None
    assert law.gap.low < expected < law.gap.high
    assert law.factor * 0.002**0.75 / 0.002 == pytest.approx(expected, rel=1e-12)
    assert law.deviation == pytest.approx(0.0, abs=1e-12)
    assert law.n_points == 4  # from 0.01 in steps of 1.45, those of at most 0.04


def test_the_intervals_cover_the_law_of_all_fragments() -> None:
    rng = np.random.default_rng(5)
    mean, deviation, n_sets = 0.75, 0.1, 300
    fitted = np.log(ID_ERRORS[4.0 * ID_ERRORS.min() >= ID_ERRORS])
    steps = fitted - np.log(0.02)
    # The mean of exp(b step) over normally distributed exponents b.
    of_all = np.log(0.1) + mean * steps + 0.5 * (deviation * steps) ** 2
    slope, offset = np.polyfit(fitted, of_all, 1)
    truths = (slope, np.exp(offset + slope * np.log(0.002)) / 0.002)
    covered = np.zeros(2)
    for _ in range(n_sets):
        law = power_law(checkpoints(rng.normal(mean, deviation, len(FRAGMENTS)), np.ones(len(FRAGMENTS))), at=0.002)
        for number, (interval, truth) in enumerate(zip((law.exponent, law.gap), truths, strict=True)):
            assert interval.low is not None
            assert interval.high is not None
            covered[number] += interval.low <= truth <= interval.high
    assert np.all(covered / n_sets > 0.91), covered
    assert np.all(covered / n_sets < 0.99), covered


@pytest.mark.parametrize(("known", "is_extrapolated"), [(0.03, False), (0.17, False), (0.004, True)])
def test_a_model_is_compared_with_a_training_at_the_same_id_error(known: float, is_extrapolated: bool) -> None:
    factors, ones = np.linspace(0.5, 2.0, len(FRAGMENTS)), np.ones(len(FRAGMENTS))
    exponents = np.full(len(FRAGMENTS), 0.75)
    better = np.linspace(0.7, 0.9, len(FRAGMENTS))
    of_curve = factors * 0.1 * (known / 0.02) ** exponents
    model = effect("test_id", known * ones), effect("test_ood", better * of_curve)
    curve = checkpoints(exponents, factors, np.geomspace(0.2, 0.01, 33))
    found = closing_the_gap.beyond_curve(model, curve)
    assert found is not None
    ratio, extrapolated = found
    expected = float((better * factors).sum() / factors.sum())
    assert (ratio.value, extrapolated) == (pytest.approx(expected, rel=1e-9), is_extrapolated)
    assert ratio.low is not None
    assert ratio.high is not None
    # Fragments that are hard for both do not widen it: each has between 0.7 and 0.9 of the error of the curve.
    assert 0.7 < ratio.low < expected < ratio.high < 0.95


def test_nothing_is_said_of_a_model_that_errs_more_than_the_first_checkpoint() -> None:
    ones = np.ones(len(FRAGMENTS))
    curve = checkpoints(0.75 * ones, ones)
    assert closing_the_gap.beyond_curve((effect("test_id", 0.21 * ones), effect("test_ood", ones)), curve) is None


def test_the_page_on_closing_the_gap_has_the_numbers_of_the_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "page.md"
    text = closing_the_gap.PAGE.read_text(encoding="utf-8")
    page.write_text(text, encoding="utf-8")
    monkeypatch.setattr(closing_the_gap, "PAGE", page)
    monkeypatch.setattr("sys.argv", ["closing_the_gap"])
    closing_the_gap.main()
    assert page.read_text(encoding="utf-8") == text


def test_too_few_checkpoints_are_refused() -> None:
    points = checkpoints(np.full(len(FRAGMENTS), 0.75), np.ones(len(FRAGMENTS)))
    with pytest.raises(DataError, match="3 checkpoints with an ID error of at most 4 times the smallest; expected 4"):
        power_law(points[-3:], at=0.002)


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for report in (convergence_report, diversity_report):
        monkeypatch.setattr(report, "PAGE", tmp_path / "page.md")
    return tmp_path / "page.md"


def train_here(folder: Path, dataset: Path, options: Sequence[str]) -> None:
    """Trains in this process, which has imported what a training needs."""
    if not holds_finished_checkpoint(folder):
        assert cli(["train", "--dataset", str(dataset), "--out", str(folder), *options]) == 0


def test_a_training_is_measured_at_each_validation_and_reported(
    tmp_path: Path, page: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    records = tmp_path / "results" / "runs.jsonl"
    monkeypatch.setattr(convergence_runs, "RECORDS", records)
    monkeypatch.setattr(convergence_runs, "train", train_here)
    request = convergence_runs.Request(
        dataset=write_dataset(tmp_path / "tiny"),
        task="task1",
        arch="schnet",
        delta=None,
        steps=8,
        validations=4,
        seed=0,
        work=tmp_path / "work",
        compile="never",
    )
    convergence_runs.run_missing(request)
    found = list(read_records(records))
    assert [each["step"] for each in found] == [2, 4, 6, 8]
    assert len({each["weights"] for each in found}) == 4
    assert [each[0] for each in found[0]["test_ood"]] == ["F-6-H", "OH-6-H"]
    assert [each[1] for each in found[0]["test_ood"]] == [["F"], ["OH"]]
    convergence_runs.run_missing(request)
    assert list(read_records(records)) == found
    # A record that is missing, such as one of a run that was killed, is measured again to the same numbers.
    records.write_text("".join(json.dumps(each) + "\n" for each in found[:-1]), encoding="utf-8")
    convergence_runs.run_missing(request)
    assert list(read_records(records)) == found
    convergence_report.write_report(records)
    text = page.read_text(encoding="utf-8")
    # For forces and for energies one line of the fits and three of the course.
    assert text.count("| schnet, 8 steps, seed 0 | task1 | ") == 2 * (1 + 3)
    assert (records.parent / "convergence.png").stat().st_size > 10_000
    capfd.readouterr()


def test_the_numbers_of_a_report_are_those_of_its_records(tmp_path: Path, page: Path) -> None:
    records = [
        {
            "row": "network",
            "task": "task2",
            "step": step,
            "epochs": float(step),
            "validation_force_mae": known,
            "test_id": [[f"{f}-2-H", [f], 30, known, 10, known / 10] for f in FRAGMENTS],
            "test_ood": [[f"{f}-4-{f}", [f], 60, 2.0 * known**0.5, 10, known / 5] for f in FRAGMENTS],
        }
        for step, known in enumerate(ID_ERRORS, start=1)
    ]
    forces, energies = (convergence_report.trainings_of(records, each)[0] for each in ("forces", "energies"))
    assert forces.law.exponent.value == pytest.approx(0.5)
    assert forces.gap.value == pytest.approx(2.0 * 0.01**0.5 / 0.01)
    assert energies.law.exponent.value == pytest.approx(1.0)
    assert energies.gap.value == pytest.approx(2.0)
    # From the sixth of nine validations, 6 <= 0.75 * 9, to the last.
    assert forces.late_change == pytest.approx(ID_ERRORS[8] / ID_ERRORS[5] - 1.0)
    assert forces.late_law is None  # two checkpoints within a factor of two
    table = convergence_report.table([forces], "forces")
    assert "| network | task2 | 9 | -67.5 % | 10.00 | 200.00 | 20.00" in table
    assert table.rstrip().endswith("| – | – | – |")
    course = convergence_report.course_table([energies]).splitlines()[-3:]
    assert course[0] == "| network | task2 | 1 | 20 | 40 | 2.00 |"
    assert course[1].startswith("| network | task2 | 4 |")
    assert course[2] == "| network | task2 | 9 | 1 | 2 | 2.00 |"


def test_the_end_of_a_bent_curve_has_an_exponent_of_its_own() -> None:
    known = np.geomspace(0.08, 0.01, 14)
    ood = np.where(known > 0.02, 0.1 * (known / 0.02) ** 0.8, 0.1 * (known / 0.02) ** 0.3)
    ones = np.ones(len(FRAGMENTS))
    points = [
        (effect("test_id", error * ones), effect("test_ood", other * ones))
        for error, other in zip(known, ood, strict=True)
    ]
    late = power_law(points, 0.002, LATE_RANGE)
    assert late.n_points == 5
    assert late.exponent.value == pytest.approx(0.3)
    assert late.gap.value == pytest.approx(0.1 * 0.1**0.3 / 0.002)
    whole = power_law(points, 0.002).exponent.value
    assert whole is not None
    assert 0.3 < whole < 0.8


def diversity_records(errors: "dict[str, float]") -> Iterator[dict[str, Any]]:
    """A record of each training set, whose OOD molecules err as stated for its name, or by 0.05 eV/Å."""
    pairs: dict[str, set[tuple[str, str]]] = {}
    for each in training_sets():
        pairs.setdefault(each.name, set()).update(each.pairs)
    for run, of_run in pairs.items():
        names = [f"{left}-{spacer}-{right}" for left, right in sorted(of_run) for spacer in PAIR_SPACERS]
        ood = [[name, 10, 10 * 12, errors.get(run, 0.05)] for name in names]
        yield {"row": "network", "name": run, "n_molecules": 28, "id_force_mae": 0.03, "ood": ood}


def test_a_series_compares_the_same_molecules(tmp_path: Path, page: Path) -> None:
    errors = {"pairs_0-1400": 0.05, "pairs_0-350": 0.1, "pairs_0-700": 0.08, "pairs_0-2800": 0.025}
    errors |= {f"pairs_80_{fold}-1400": 0.02 + 0.01 * fold for fold in range(5)}
    records = list(diversity_records(errors))
    frames = list(diversity_report.points_of("frames", records))
    assert [each.position for each in frames] == [350, 700, 1400, 2800]
    assert [each.ood.value for each in frames] == pytest.approx([0.1, 0.08, 0.05, 0.025])
    assert [each.against_first and each.against_first.value for each in frames[1:]] == pytest.approx([0.8, 0.5, 0.25])
    pairs = list(diversity_report.points_of("pairs", records))
    assert [each.position for each in pairs] == [0, 20, 40, 60, 80]
    # Each of the five models tests three of the fifteen pairs.
    assert pairs[-1].ood.value == pytest.approx(0.04)
    assert [each.position for each in diversity_report.points_of("fragments", records)] == [3, 6, 9]
    path = tmp_path / "results" / "runs.jsonl"
    path.parent.mkdir()
    path.write_text("".join(json.dumps(each) + "\n" for each in records), encoding="utf-8")
    diversity_report.write_report(path)
    assert "| more frames | network | 350 | 28 | 30.0 | 100.0 |" in page.read_text(encoding="utf-8")
    assert (path.parent / "diversity.png").stat().st_size > 10_000


def test_a_series_that_lacks_a_run_is_not_shown() -> None:
    records = [each for each in diversity_records({}) if each["name"] != "pairs_40_2-1400"]
    assert not list(diversity_report.points_of("pairs", records))
    assert list(diversity_report.points_of("frames", records))
