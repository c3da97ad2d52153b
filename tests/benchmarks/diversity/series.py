"""The training sets that are compared: each series changes one thing, and all are tested on the molecules of `task3`.

The fifteen pairs of the six fragments of `task3` fall into five matchings, in each of which every fragment occurs once.
Each matching is tested by models that were trained on some of the other four. So every pair is tested at every share,
always by a model that never saw it, every fragment occurs equally often, and the test molecules are the same.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Final, Literal

from dataset_builders.tasks.fragments import FRAGMENTS

SIX: Final = ("OH", "NH2", "Cl", "CN", "CHO", "COOH")
"""The fragments of `task3`."""
NINE: Final = tuple(name for name in FRAGMENTS if name != "H")
MATCHINGS: Final = (
    (("OH", "NH2"), ("Cl", "COOH"), ("CN", "CHO")),
    (("OH", "Cl"), ("NH2", "CN"), ("CHO", "COOH")),
    (("OH", "CN"), ("Cl", "CHO"), ("NH2", "COOH")),
    (("OH", "CHO"), ("CN", "COOH"), ("NH2", "Cl")),
    (("OH", "COOH"), ("NH2", "CHO"), ("Cl", "CN")),
)
TRIPLES: Final = (SIX[:3], SIX[3:])
"""Each has three pairs, which are tested by models of these three fragments, of all six, and of nine."""
SPACERS: Final = (2, 4, 6, 8)
PAIR_SPACERS: Final = (2, 6)
N_FRAMES: Final = 1400
"""Training frames of every set but those of the series `frames`."""

SeriesName = Literal["frames", "molecules", "fragments", "pairs"]


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """A training set, and the pairs that it is tested on.

    Attributes:
        task: Name of the task that declares it.
        n_frames: Number of training frames.
        points: Where it counts: series, and position on its axis.
        pairs: Pairs of fragments of the OOD molecules that count, each on all spacers of `PAIR_SPACERS`.
    """

    task: str
    n_frames: int
    points: tuple[tuple[SeriesName, float], ...]
    pairs: tuple[tuple[str, str], ...]

    @property
    def name(self) -> str:
        """Name of the run."""
        return f"{self.task}-{self.n_frames}"


def training_sets() -> list[TrainingSet]:
    """All training sets, those of most series first."""
    all_pairs = tuple(combinations(SIX, 2))
    base = (("frames", float(N_FRAMES)), ("molecules", 28.0), ("pairs", 0.0))
    found = [TrainingSet("pairs_0", N_FRAMES, base, all_pairs)]
    found += [TrainingSet("pairs_0", n, (("frames", float(n)),), all_pairs) for n in (350, 700, 2800)]
    for fold, matching in enumerate(MATCHINGS):
        for share in (20, 40, 60, 80):
            found.append(TrainingSet(f"pairs_{share}_{fold}", N_FRAMES, (("pairs", float(share)),), matching))
    found += [TrainingSet(f"spacers_{n}", N_FRAMES, (("molecules", 7.0 * n),), all_pairs) for n in (2, 7)]
    for index, triple in enumerate(TRIPLES):
        pairs = tuple(combinations(triple, 2))
        for n in (3, 6, 9):
            task = "pairs_0" if n == 6 else f"fragments_{n}" + (f"_{index}" if n == 3 else "")
            found.append(TrainingSet(task, N_FRAMES, (("fragments", float(n)),), pairs))
    return found


def declarations() -> Iterator[dict[str, Any]]:
    """The tasks, in the form of a task file."""
    yield _task("pairs_0", "no pair of fragments shown", _singles(SIX), _pairs(tuple(combinations(SIX, 2))))
    for fold, matching in enumerate(MATCHINGS):
        for n_shown in range(1, 5):
            shown = [MATCHINGS[(fold + step) % len(MATCHINGS)] for step in range(1, n_shown + 1)]
            train = [*_singles(SIX), *_pairs(tuple(pair for each in shown for pair in each))]
            share = 100 * n_shown // len(MATCHINGS)
            yield _task(f"pairs_{share}_{fold}", f"{share} % of the pairs of fragments shown", train, _pairs(matching))
    every = _pairs(tuple(combinations(SIX, 2)))
    yield _task("spacers_2", "fragments on two lengths", _singles(SIX, (2, 8)), every)
    yield _task("spacers_7", "fragments on seven lengths", _singles(SIX, (2, 3, 4, 5, 6, 7, 8)), every)
    for index, triple in enumerate(TRIPLES):
        pairs = _pairs(tuple(combinations(triple, 2)))
        yield _task(f"fragments_3_{index}", "three fragments", _singles(triple), pairs)
    yield _task("fragments_9", "nine fragments", _singles(NINE), every)


def _task(name: str, title: str, train: list[dict[str, Any]], ood: list[dict[str, Any]]) -> dict[str, Any]:
    return {"name": name, "title": title, "tests": "systematicity", "train": train, "ood": ood}


def _singles(fragments: tuple[str, ...], spacers: tuple[int, ...] = SPACERS) -> list[dict[str, Any]]:
    return [{"left": ["H", *fragments], "spacers": [*spacers], "right": "H"}]


def _pairs(pairs: tuple[tuple[str, str], ...]) -> list[dict[str, Any]]:
    return [{"left": [left], "spacers": [*PAIR_SPACERS], "right": right} for left, right in pairs]
