import numpy as np
import pytest

from dataset_builders.certify.geometry.seen_values import SeenValues


def test_distances_by_hand():
    seen = SeenValues(1.0, 180.0)
    seen.add("a", np.array([[10.2, 10.4], [10.9, 180.0]]))
    found = seen.distances("a", np.array([0.2, 10.6, 20.9, 175.0]))
    # 10.4 is between the smallest and the largest value of its bin, so 10.6 is compared with these two.
    np.testing.assert_allclose(found, [10.0, 0.3, 10.0, 5.0])
    assert "a" in seen
    assert "b" not in seen


def test_a_kind_without_values():
    seen = SeenValues(1.0, 180.0)
    seen.add("a", np.empty(0))
    assert "a" not in seen
    assert seen.distances("a", np.array([[1.0]])).tolist() == [[np.inf]]


@pytest.mark.parametrize("tolerance", [1.0, 5.0])
def test_what_is_beyond_a_tolerance_is_exact(tolerance):
    rng = np.random.default_rng(3)
    known, asked = rng.uniform(0, 180, 60), rng.uniform(0, 180, 2000)
    seen = SeenValues(1.0, 180.0)
    for part in np.array_split(known, 7):
        seen.add(0, part)
    expected = np.abs(asked[:, None] - known).min(axis=1) > tolerance
    np.testing.assert_array_equal(seen.distances(0, asked) > tolerance, expected)
    assert 0 < expected.sum() < len(asked)


def test_memory_does_not_grow_with_the_values():
    seen = SeenValues(1.0, 180.0)
    for seed in range(20):
        seen.add(0, np.random.default_rng(seed).uniform(0, 180, 10_000))
    seen.distances(0, np.array([1.0]))
    assert len(seen._kept[0]) <= 360
