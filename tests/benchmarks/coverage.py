"""How often the intervals cover the truth, in data sets that are drawn as the shipped records say that errors vary.

python -m tests.benchmarks.coverage
python -m tests.benchmarks.coverage --data-sets 10000

For each design: the share of simulated data sets whose 95 % interval holds the number of the population, beside that
of the bootstrap over molecules that results had before, and the median ratio (of a score and a difference: the
distance) of its ends. `--variance` multiplies every variance, to see how much depends on it.
"""

import argparse
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from dataset_builders.core.markdown import markdown_table
from dataset_builders.tasks.regions import TASKS, TaskName
from harness.scoring.clusters import Clusters, clusters_of
from harness.scoring.composition import EnvironmentErrors, excess_effect, expectation
from harness.scoring.influences import Effect, MoleculeSums, quotient, ratio_effect
from harness.scoring.intervals import Interval, compare_models, interval_of
from harness.scoring.metric_terms import Float64Array
from harness.scoring.metrics import task_score, task_scores
from harness.scoring.score_interval import score_interval
from tests.benchmarks.simulated_errors import (
    SPLITS,
    Components,
    DataSet,
    Design,
    components_of_study,
    design_of,
    draw,
)

RECORDS = Path(__file__).parents[2] / "docs" / "results" / "mini"
NOMINAL = 0.95
WITHIN = (0.92, 0.97)
"""Coverage that an interval must have to be printed."""

_RESAMPLES = 400


@dataclass(frozen=True, slots=True)
class Measured:
    """A number of one simulated data set, with the new and the former interval."""

    new: Interval
    former: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Coverage:
    """What many data sets say of an interval.

    Attributes:
        number: What it is an interval of.
        n_clusters: On how many clusters it stands.
        new: Share of the data sets in which it holds the truth; `None` where none is given.
        former: The same of the bootstrap over molecules.
        width: Median ratio of upper to lower end, or their median distance for numbers that may be zero.
    """

    number: str
    n_clusters: int
    new: float | None
    former: float
    width: float


@dataclass(frozen=True, slots=True)
class Options:
    """How to simulate.

    Attributes:
        n_sets: Data sets.
        seed: Of the random numbers.
        variance: Factor to every variance that the records give.
        n_fragments: Fragments of the task that are drawn, at most.
        results: Folder of the records.
    """

    n_sets: int
    seed: int = 0
    variance: float = 1.0
    n_fragments: int = 99
    results: Path = RECORDS


def simulate(task: TaskName, options: Options) -> list[Coverage]:
    """Simulates one of the four tasks."""
    results, n_sets, seed, variance = options.results, options.n_sets, options.seed, options.variance
    design = design_of(results, task, options.n_fragments)
    of = tuple(_scaled(each, variance) for each in components_of_study(results, task))
    rng = np.random.default_rng([seed, int(task[-1])])
    sets = [draw(design, (of[0], of[1], of[2]), rng) for _ in range(n_sets)]
    truth = dict(_truths(design, sets))
    found: dict[str, list[Measured]] = {name: [] for name in truth}
    for each in sets:
        for name, measured in _numbers(design, each, rng):
            found[name].append(measured)
    return [_coverage(name, truth[name], found[name]) for name in truth]


def _scaled(components: Components, factor: float) -> Components:
    return replace(
        components,
        fragment={split: factor * value for split, value in components.fragment.items()},
        pair=factor * components.pair,
        own={split: factor * value for split, value in components.own.items()},
    )


def _coverage(name: str, truth: float, found: Sequence[Measured]) -> Coverage:
    new = [(each.new.low, each.new.high) for each in found if each.new.low is not None and each.new.high is not None]
    ratio = name not in ("score", _DIFFERENCE)
    widths = [high / low if ratio else high - low for low, high in new]
    return Coverage(
        number=name,
        n_clusters=found[0].new.n_clusters or 0,
        new=sum(low <= truth <= high for low, high in new) / len(new) if len(new) == len(found) else None,
        former=float(np.mean([each.former[0] <= truth <= each.former[1] for each in found])),
        width=float(np.median(widths)) if widths else math.nan,
    )


_DIFFERENCE = "OOD MAE less that of another model"
_GAP_RATIO = "gap over that of another model"


def _groups(design: Design) -> Iterator[tuple[str, str, np.ndarray]]:
    """Rows of the tables beside the splits: name, split and positions of the molecules."""
    for name, places in sorted(design.subsets.items()):
        yield f"{name} MAE", "test_ood", np.array(places)
    for split in SPLITS:
        spacers = np.array([word.spacer for word in design.words[split]])
        for spacer in sorted(set(spacers.tolist())):
            label = "ID" if split == "test_id" else "OOD"
            yield f"{label} MAE at spacer {spacer}", split, np.flatnonzero(spacers == spacer)


def _truths(design: Design, sets: Sequence[DataSet]) -> Iterator[tuple[str, float]]:
    """The numbers of the population: sums over all that was drawn, one divided by the other."""
    total = {
        kind: {split: sum(getattr(each, kind)[split].sum(axis=1) for each in sets) for split in SPLITS}
        for kind in ("atoms", "error", "other", "zero")
    }
    mae = {
        kind: {split: float(total[kind][split].sum() / total["atoms"][split].sum()) for split in SPLITS}
        for kind in ("error", "other", "zero")
    }
    known, unseen = (mae["error"][split] for split in SPLITS)
    yield "ID MAE", known
    yield "OOD MAE", unseen
    yield "gap", unseen / known
    yield "excess", _true_excess(design, sets)
    yield "score", task_score(unseen, mae["zero"]["test_ood"])
    for name, split, places in _groups(design):
        yield name, float(total["error"][split][places].sum() / total["atoms"][split][places].sum())
    yield "ID MAE over that of another model", known / mae["other"]["test_id"]
    yield "OOD MAE over that of another model", unseen / mae["other"]["test_ood"]
    yield _GAP_RATIO, unseen / known / (mae["other"]["test_ood"] / mae["other"]["test_id"])
    yield _DIFFERENCE, unseen - mae["other"]["test_ood"]


def _true_excess(design: Design, sets: Sequence[DataSet]) -> float:
    """Chain environments have one mean error in the population, those of a fragment the one of that fragment."""
    n_plain = sets[0].atoms["test_id"].shape[1] - len(design.fragments)
    atoms, error = (
        {split: [getattr(each, kind)[split].sum(axis=0) for each in sets] for split in SPLITS}
        for kind in ("atoms", "error")
    )
    plain = np.sum(error["test_id"], axis=0)[:n_plain] / np.sum(atoms["test_id"], axis=0)[:n_plain]
    expected = float(np.sum(atoms["test_ood"], axis=0)[:n_plain] @ plain)
    for unseen, known, own in zip(atoms["test_ood"], error["test_id"], atoms["test_id"], strict=True):
        has = own[n_plain:] > 0
        expected += float((unseen[n_plain:][has] * known[n_plain:][has] / own[n_plain:][has]).sum())
    return float(np.sum(error["test_ood"])) / expected


def _numbers(design: Design, data: DataSet, rng: np.random.Generator) -> Iterator[tuple[str, Measured]]:
    """Every number of a data set with its intervals."""
    clusters = {
        split: clusters_of(split, [word.molecule_id for word in design.words[split]], design.drawn) for split in SPLITS
    }
    counts = {split: _resampled(clusters[split].n_molecules, rng) for split in SPLITS}
    sums, effects, draws = _summed(data, clusters, counts)
    known, unseen = (effects["error", split] for split in SPLITS)
    yield "ID MAE", _measured(known, draws["error", "test_id"])
    yield "OOD MAE", _measured(unseen, draws["error", "test_ood"])
    yield "gap", _measured(_defined(quotient(unseen, known)), draws["error", "test_ood"] / draws["error", "test_id"])
    yield "excess", _excess(data, clusters, counts["test_ood"])
    score = score_interval(unseen, effects["zero", "test_ood"])
    yield "score", Measured(score, _ends(task_scores(draws["error", "test_ood"], draws["zero", "test_ood"])))
    for name, split, places in _groups(design):
        part = sums["error", split].select(places)  # type: ignore[index]
        effect = _defined(ratio_effect(part, clusters[split].select(places)))  # type: ignore[index]
        yield name, _measured(effect, _samples(part, _resampled(len(places), rng)))
    for split, label in zip(SPLITS, ("ID", "OOD"), strict=True):
        other = _defined(quotient(effects["error", split], effects["other", split]))
        yield f"{label} MAE over that of another model", _measured(other, draws["error", split] / draws["other", split])
    gaps = [_defined(quotient(effects[kind, "test_ood"], effects[kind, "test_id"])) for kind in ("error", "other")]
    resampled = [draws[kind, "test_ood"] / draws[kind, "test_id"] for kind in ("error", "other")]
    yield _GAP_RATIO, _measured(_defined(quotient(*gaps)), resampled[0] / resampled[1])
    apart = compare_models(sums["error", "test_ood"], sums["other", "test_ood"], clusters["test_ood"]).difference
    yield _DIFFERENCE, Measured(apart, _ends(draws["error", "test_ood"] - draws["other", "test_ood"]))


def _summed(
    data: DataSet, clusters: Mapping[str, Clusters], counts: Mapping[str, Float64Array]
) -> tuple[dict[tuple[str, str], MoleculeSums], dict[tuple[str, str], Effect], dict[tuple[str, str], Float64Array]]:
    """Sums by molecule, their effects, and resamples of the ratio, by kind and split."""
    sums = {
        (kind, split): MoleculeSums(getattr(data, kind)[split].sum(axis=1), data.atoms[split].sum(axis=1), "none")
        for kind in ("error", "other", "zero")
        for split in SPLITS
    }
    effects = {key: _defined(ratio_effect(each, clusters[key[1]])) for key, each in sums.items()}
    return sums, effects, {key: _samples(each, counts[key[1]]) for key, each in sums.items()}


def _excess(data: DataSet, clusters: Mapping[str, Clusters], counts: Float64Array) -> Measured:
    # Environments that no ID molecule of this data set has are those of a fragment that is a plain chain's end.
    has = data.atoms["test_id"].sum(axis=0) > 0
    known = EnvironmentErrors(data.atoms["test_id"][:, has], data.error["test_id"][:, has])
    expected = expectation(known, data.atoms["test_ood"][:, has], clusters["test_id"].is_fixed)
    measured = data.error["test_ood"].sum(axis=1)
    effect = _defined(excess_effect(measured, expected, clusters["test_id"], clusters["test_ood"]))
    return _measured(effect, (counts @ measured) / (counts @ expected.total))


def _measured(effect: Effect, samples: Float64Array) -> Measured:
    return Measured(interval_of(effect), _ends(samples))


def _defined(effect: Effect | None) -> Effect:
    assert effect is not None
    return effect


def _resampled(n_molecules: int, rng: np.random.Generator) -> Float64Array:
    share = np.full(n_molecules, 1.0 / n_molecules)
    return rng.multinomial(n_molecules, share, size=_RESAMPLES).astype(np.float64)


def _samples(sums: MoleculeSums, counts: Float64Array) -> Float64Array:
    return np.asarray((counts @ sums.numerator) / (counts @ sums.weight))


def _ends(samples: Float64Array) -> tuple[float, float]:
    low, high = np.quantile(samples, [(1.0 - NOMINAL) / 2.0, (1.0 + NOMINAL) / 2.0])
    return float(low), float(high)


def table(tasks: Sequence[TaskName], options: Options) -> str:
    """Coverage of every number of some tasks, in Markdown."""
    header = ("task", "number", "clusters", "coverage, %", "former, %", "upper / lower")
    rows = []
    for task in tasks:
        for each in simulate(task, options):
            covered = "no interval" if each.new is None else f"{100.0 * each.new:.1f}"
            width = "–" if math.isnan(each.width) else f"{each.width:.3g}"
            rows.append((task, each.number, str(each.n_clusters), covered, f"{100.0 * each.former:.1f}", width))
    return markdown_table(header, rows, "right")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-sets", type=int, default=4000, help="simulated data sets (default: 4000)")
    parser.add_argument("--tasks", nargs="+", choices=(*TASKS,), default=[*TASKS])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--variance", type=float, default=1.0, help="factor to every variance (default: 1)")
    parser.add_argument("--fragments", type=int, default=99, help="draw no more than so many fragments")
    chosen = parser.parse_args()
    print(table(chosen.tasks, Options(chosen.data_sets, chosen.seed, chosen.variance, chosen.fragments)))


if __name__ == "__main__":
    main()
