"""Results that stand side by side: on the same data, so on one edition."""

from collections.abc import Sequence

from dataset_builders.core.errors import DataError
from dataset_builders.core.hashes import SHORT_HASH
from harness.results.result import RunResult


def require_one_dataset(results: Sequence[RunResult], what: str) -> None:
    """Checks that results were measured on the same data.

    Args:
        results: The results.
        what: What needs that, for the message, such as `a comparison`.

    Raises:
        DataError: If they were not; the message names the editions if these differ.
    """
    data = {result.dataset.content_hash: result.dataset for result in results}
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
