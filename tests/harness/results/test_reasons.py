"""Reasons of missing intervals in results of earlier versions."""

import pytest

from harness.results.estimate import Estimate
from harness.results.reasons import in_current_words


@pytest.mark.parametrize(
    ("former", "current"),
    [
        (
            "it stands on 1 fragment, and an interval needs 3 or more",
            "based on 1 fragment; an interval needs at least 3",
        ),
        (
            "it stands on 2 molecules, and an interval needs 5 or more",
            "based on 2 molecules; an interval needs at least 5",
        ),
        ("it stands on 4 clusters, and this one needs 5 or more", "based on 4 clusters; this one needs at least 5"),
        ("its molecules are part of the design, and none is drawn", "its molecules are fixed by the task, not sampled"),
        ("the value is 1e-06, where its scale ends", "the value, 1e-06, is at the end of its range"),
        ("the 10 fragments do not differ", "all fragments give the same value"),
        ("every error is zero", "every error is zero"),
    ],
)
def test_former_words_are_read_as_those_of_today(former: str, current: str) -> None:
    found = Estimate(value=1.0, low=None, high=None, unit="1", reason=f"no interval: {former}")
    assert found.reason == f"no interval: {current}"
    assert in_current_words(found.reason) == found.reason
