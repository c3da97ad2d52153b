"""Results that stand side by side: on the same data, so on one edition."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from dataset_builders.core.errors import DataError
from dataset_builders.core.hashes import SHORT_HASH
from harness.results.result import DatasetRecord, RunResult

if TYPE_CHECKING:
    from harness.data.dataset import PinnedDataset


def require_one_dataset(results: Sequence[RunResult], what: str) -> None:
    """Checks that results were measured on the same data.

    Args:
        results: The results.
        what: What needs that, for the message, such as `a comparison`.

    Raises:
        DataError: If they were not; the message names the editions if these differ.
    """
    require_same_data([result.dataset for result in results], what)


def require_same_data(datasets: "Iterable[DatasetRecord | PinnedDataset]", what: str) -> None:
    """Checks that data sets are the same.

    Args:
        datasets: Those of results, and those of evaluations that have not begun.
        what: As for `require_one_dataset`.

    Raises:
        DataError: If they are not; the message names the editions if these differ.
    """
    data = {each.content_hash: each for each in datasets}
    editions = sorted({each.edition for each in data.values()})
    if len(editions) > 1:
        raise DataError(
            f"the results are on {len(editions)} editions, {' and '.join(editions)}; {what} needs one, since each has "
            "other frames. Evaluate all models on the same edition (--dataset)"
        )
    if len(data) > 1:
        listed = " and ".join(f"{each.id} {content[:SHORT_HASH]}" for content, each in data.items())
        labels = sorted({each.level_of_theory for each in data.values()})
        remedy = (
            f"Their labels are {', '.join(labels)}: evaluate all models at one level (--labels)"
            if len(labels) > 1
            else "Evaluate all models on the same data (--dataset)"
        )
        raise DataError(f"the results are on {len(data)} different data sets, {listed}; {what} needs one. {remedy}")
