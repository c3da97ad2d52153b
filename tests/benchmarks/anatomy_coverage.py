"""How often the intervals of the factors of a gap cover the truth, for errors that vary as the shipped records say.

python -m tests.benchmarks.anatomy_coverage --data-sets 1000

Data sets are those of `tests.benchmarks.coverage`. The ID errors of a molecule are divided between its seen and unseen
rotamers, whose numbers of frames are those of mini; each burst has an effect of its own, and unseen rotamers have a
factor that differs between fragments.
"""

import argparse
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from dataset_builders.core.markdown import markdown_table
from dataset_builders.tasks.editions import FRAMES_PER_BURST
from dataset_builders.tasks.regions import TASKS, TaskName
from harness.data.dataset import open_dataset
from harness.data.rows import read_split
from harness.scoring.anatomy import IdErrors, LogFactors, OodErrors, log_factors
from harness.scoring.clusters import Clusters, clusters_of
from harness.scoring.condition_sums import SEEN, UNSEEN
from harness.scoring.influences import Effect
from harness.scoring.intervals import interval_of
from harness.scoring.metric_terms import BoolArray, Float64Array
from harness.scoring.task_anatomy import MIN_CLUSTERS_OF_COMPOSITION, parts_shown
from harness.scoring.training_parts import TrainingPartsBuilder, traits_of
from tests.benchmarks.coverage import RECORDS
from tests.benchmarks.simulated_errors import Design, components_of_study, design_of, draw

BURST_DEVIATION = 0.2
"""Standard deviation of the log error of a burst about that of its molecule: that of a PaiNN trained on 100 frames of
each molecule of task2, on ID."""

ROTAMER_FACTOR = 1.2
"""Error of an unseen rotamer over that of a seen one, in the population."""

FACTOR_DEVIATION = 0.1
"""Standard deviation of the logarithm of that factor between fragments."""

NAMES = ("composition", "conformers", "remaining", "unseen_parts", "combination", "rotamer_ratio")


@dataclass(frozen=True, slots=True)
class Sample:
    """One simulated data set."""

    known: IdErrors
    ood: OodErrors


def frames_of_mini(task: TaskName, design: Design) -> tuple[np.ndarray, BoolArray]:
    """ID frames of unseen and of seen rotamers of each training molecule, and which OOD molecules have known parts."""
    dataset = open_dataset("mini")
    builder = TrainingPartsBuilder()
    builder.add(read_split(dataset, task, "train"))
    training = builder.finish()
    rows = read_split(dataset, task, "test_id")
    is_seen = traits_of(rows, "test_id", training, {}).is_seen
    names = [word.molecule_id for word in design.words["test_id"]]
    counts = np.array([[np.sum((rows.molecule_id == name) & (is_seen == seen)) for seen in (0, 1)] for name in names])
    return counts, parts_shown([word.smiles for word in design.words["test_ood"]], training.smiles)


def simulate(task: TaskName, n_sets: int, seed: int) -> Iterator[tuple[str, int, float | None, float]]:
    """For each factor: its clusters, coverage, and median ratio of the ends of its interval."""
    design = design_of(RECORDS, task)
    of = components_of_study(RECORDS, task)
    n_frames, is_shown = frames_of_mini(task, design)
    rng = np.random.default_rng([seed, int(task[-1])])
    clusters = {
        split: clusters_of(split, [word.molecule_id for word in words], design.drawn)
        for split, words in design.words.items()
    }
    samples = []
    for _ in range(n_sets):
        data = draw(design, of, rng)
        known = _id_errors(data.atoms["test_id"], data.error["test_id"], n_frames, clusters["test_id"], rng)
        ood = OodErrors(data.atoms["test_ood"], data.error["test_ood"].sum(axis=1), is_shown, clusters["test_ood"])
        samples.append(Sample(known, ood))
    truth = _truths(samples, len(design.fragments))
    found = [_factors(each) for each in samples]
    for name in NAMES:
        logs = [effect for each in found if isinstance(effect := getattr(each, name), Effect)]
        if logs and name in truth:
            least = MIN_CLUSTERS_OF_COMPOSITION if name == "composition" else 0
            yield name, *_coverage(logs, truth[name], least)


def _id_errors(
    atoms: Float64Array, error: Float64Array, n_frames: np.ndarray, clusters: Clusters, rng: np.random.Generator
) -> IdErrors:
    n_bursts = np.maximum(n_frames / FRAMES_PER_BURST, 1.0)
    effects = rng.normal(0.0, BURST_DEVIATION, n_frames.shape) / np.sqrt(n_bursts)
    own = {name: rng.normal(math.log(ROTAMER_FACTOR), FACTOR_DEVIATION) for name in (*clusters.distinct, "")}
    effects[:, UNSEEN] += [own[names[0] if names else ""] for names in clusters.names]
    share = n_frames / n_frames.sum(axis=1, keepdims=True) * np.exp(effects)
    return IdErrors(atoms, error * share[:, [UNSEEN]], error * share[:, [SEEN]], n_frames, clusters)


def _factors(sample: Sample) -> LogFactors:
    # Environments that no ID molecule of this data set has are those of a fragment that is a plain chain's end.
    has = sample.known.atoms.sum(axis=0) > 0
    known = sample.known
    found = log_factors(
        IdErrors(known.atoms[:, has], known.unseen[:, has], known.seen[:, has], known.n_frames, known.clusters),
        OodErrors(sample.ood.atoms[:, has], sample.ood.error, sample.ood.is_shown, sample.ood.clusters),
    )
    assert found is not None
    return found


def _coverage(logs: Sequence[Effect], truth: float, least: int) -> tuple[int, float | None, float]:
    intervals = []
    for log in logs:
        value = math.exp(log.value)
        scaled = {part: (value * own, clusters) for part, (own, clusters) in log.influences.items()}
        intervals.append(interval_of(Effect(value, scaled)))
    ends = [(each.low, each.high) for each in intervals if each.low is not None and each.high is not None]
    n_clusters = intervals[0].n_clusters or 0
    if len(ends) < len(intervals) or n_clusters < least:
        return n_clusters, None, math.nan
    covered = sum(low <= truth <= high for low, high in ends) / len(ends)
    return n_clusters, covered, float(np.median([high / low for low, high in ends]))


def _truths(samples: Sequence[Sample], n_fragments: int) -> dict[str, float]:
    """The numbers of the population: sums over all that was drawn, divided by each other."""
    both = samples[0].known.n_frames
    part = both / both.sum(axis=1, keepdims=True)
    above = sum(float(each.known.unseen.sum(axis=1) @ part[:, SEEN]) for each in samples)
    ratio = above / sum(float(each.known.seen.sum(axis=1) @ part[:, UNSEEN]) for each in samples)
    shown = samples[0].ood.is_shown
    everyone = np.ones_like(shown)
    plain = _expected(samples, n_fragments, everyone, 1.0)
    changed = _expected(samples, n_fragments, everyone, ratio)
    error = sum(each.ood.error for each in samples)
    id_error = sum(float((each.known.seen + each.known.unseen).sum()) for each in samples)
    id_atoms, ood_atoms = (sum(float(a.sum()) for a in atoms) for atoms in _atoms(samples))
    remaining = float(np.sum(error)) / changed
    truth = {
        "composition": plain / ood_atoms / (id_error / id_atoms),
        "conformers": changed / plain,
        "remaining": remaining,
        "rotamer_ratio": ratio,
    }
    if shown.any():
        truth["combination"] = float(np.sum(error[shown])) / _expected(samples, n_fragments, shown, ratio)
        truth["unseen_parts"] = remaining / truth["combination"]
    return truth


def _atoms(samples: Sequence[Sample]) -> tuple[list[Float64Array], list[Float64Array]]:
    return [each.known.atoms for each in samples], [each.ood.atoms for each in samples]


def _expected(samples: Sequence[Sample], n_fragments: int, chosen: BoolArray, ratio: float) -> float:
    """Chain environments have one mean error in the population, those of a fragment the one of that fragment."""
    n_plain = samples[0].known.atoms.shape[1] - n_fragments
    atoms = [each.known.atoms.sum(axis=0) for each in samples]
    errors = [(ratio * each.known.seen + each.known.unseen).sum(axis=0) for each in samples]
    wanted = [each.ood.atoms[chosen].sum(axis=0) for each in samples]
    mean = np.sum(errors, axis=0)[:n_plain] / np.sum(atoms, axis=0)[:n_plain]
    expected = float(np.sum(wanted, axis=0)[:n_plain] @ mean)
    for own, error, of_ood in zip(atoms, errors, wanted, strict=True):
        has = own[n_plain:] > 0
        expected += float((of_ood[n_plain:][has] * error[n_plain:][has] / own[n_plain:][has]).sum())
    return expected


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-sets", type=int, default=1000, metavar="N")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    arguments = parser.parse_args()
    rows = [
        (
            task,
            name.replace("_", " "),
            str(n_clusters),
            "no interval" if covered is None else f"{100 * covered:.1f}",
            "–" if covered is None else f"{width:.3g}",
        )
        for task in TASKS
        for name, n_clusters, covered, width in simulate(task, arguments.data_sets, arguments.seed)
    ]
    print(markdown_table(("task", "factor", "clusters", "coverage, %", "upper / lower"), rows, "right"))


if __name__ == "__main__":
    main()
