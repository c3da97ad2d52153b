import numpy as np
import pytest

from dataset_builders.core.linear_span import outside_span


def test_what_follows_from_water_and_methane() -> None:
    # Rows H, C, O; water is (2, 0, 1), methane (4, 1, 0).
    known = np.array([[2.0, 4.0], [0.0, 1.0], [1.0, 0.0]])
    asked = {"CH4 + 2 H2O": (8, 1, 2), "methanol": (4, 1, 1), "nothing": (0, 0, 0), "C100H202O1": (202, 100, 1)}
    found = outside_span(known, np.array(list(asked.values()), dtype=np.float64).T)
    assert dict(zip(asked, found.tolist(), strict=True)) == {
        "CH4 + 2 H2O": False,
        "methanol": True,
        "nothing": False,
        "C100H202O1": True,
    }


@pytest.mark.parametrize("copies", [1, 5000])
def test_large_counts_and_many_copies_do_not_blur_it(copies: int) -> None:
    chains = np.array([[2.0 * n + 2, n] for n in (2, 3, 4, 300)] * copies).T  # alkanes: 2 C for 2 n + 2 H
    asked = np.array([[2.0 * n + 2, n] for n in (6, 12, 5000)] + [[601.0, 300.0]]).T
    assert outside_span(chains, asked).tolist() == [False] * 4  # two unknowns, two lines: all is fixed
    assert outside_span(chains[:, :1], asked).tolist() == [True, True, True, True]
    odd = np.vstack([chains, chains.sum(axis=0)])
    assert outside_span(odd, np.array([[602.0, 300.0, 902.0], [602.0, 300.0, 903.0]]).T).tolist() == [False, True]


def test_nothing_known_fixes_nothing_but_nothing() -> None:
    assert outside_span(np.zeros((2, 0)), np.array([[0.0, 1.0], [0.0, 0.0]])).tolist() == [False, True]
    assert outside_span(np.zeros((2, 3)), np.zeros((2, 0))).tolist() == []
