import numpy as np
import pytest

from dataset_builders.chemistry.same_geometry import TOLERANCE, earlier_equals, signatures
from dataset_builders.core.arrays import FloatArray


def thermal(n_frames: int, n_atoms: int, seed: int = 0) -> FloatArray:
    """Frames of a chain whose atoms move by 0.05 Å."""
    draw = np.random.default_rng(seed)
    chain = np.stack([1.2 * np.arange(n_atoms), np.arange(n_atoms) % 2, np.zeros(n_atoms)], axis=1)
    return np.asarray(chain + draw.normal(scale=0.05, size=(n_frames, n_atoms, 3)), dtype=np.float32)


def rotation(seed: int) -> FloatArray:
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))[0]


CHANGES = {
    "as it is": lambda frame: frame,
    "moved": lambda frame: frame + 5.0,
    "rotated": lambda frame: frame @ rotation(1),
    "mirrored": lambda frame: frame * [1.0, 1.0, -1.0],
    "in another order": lambda frame: frame[np.random.default_rng(2).permutation(len(frame))],
    "with three decimals": lambda frame: np.round(frame @ rotation(3), 3),
    "one bit": lambda frame: np.nextafter(frame, np.float32(np.inf)),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("n_atoms", [5, 12, 30])
def test_a_geometry_that_was_written_twice_is_found(n_atoms: int, change: str) -> None:
    frames = thermal(40, n_atoms)
    again = np.asarray(CHANGES[change](frames[7]), dtype=np.float32)
    earlier = earlier_equals(signatures(np.concatenate([frames, again[None]])))
    assert earlier.tolist() == [-1] * 40 + [7]


def test_frames_that_differ_are_none() -> None:
    frames = thermal(500, 8)
    assert (earlier_equals(signatures(frames)) == -1).all()
    apart = frames[:1] + 0.0
    apart[0, 0, 0] -= 3.0 * TOLERANCE
    assert earlier_equals(signatures(np.concatenate([frames[:1], apart]))).tolist() == [-1, -1]


def test_it_finds_what_a_comparison_of_all_pairs_finds() -> None:
    """Groups of copies of several sizes: all but one of each are found, and each names one of its group."""
    draw = np.random.default_rng(4)
    frames = thermal(30, 9)
    places = draw.permutation(np.repeat(np.arange(30), draw.integers(1, 9, size=30)))
    copies = np.stack([frames[place] @ rotation(number) for number, place in enumerate(places)])
    earlier = earlier_equals(signatures(copies))
    first = {place: int(np.flatnonzero(places == place)[0]) for place in range(30)}
    for index, place in enumerate(places):
        if index == first[place]:
            assert earlier[index] == -1
        else:
            assert earlier[index] < index
            assert places[earlier[index]] == place


def test_many_copies_take_little_time() -> None:
    """Copies that are equal to the bit, and copies that were rotated."""
    frames = np.repeat(thermal(1, 9), 20_000, axis=0)
    assert earlier_equals(signatures(frames)).tolist() == [-1] + [0] * (len(frames) - 1)
    frames[1::4] = frames[1::4] @ rotation(1)
    earlier = earlier_equals(signatures(frames))
    assert (earlier == -1).sum() == 1
    assert (earlier < np.arange(len(frames))).all()


@pytest.mark.parametrize("shape", [(0, 5), (1, 5), (2, 1), (3, 0)])
def test_too_little_to_compare(shape: tuple[int, int]) -> None:
    assert (earlier_equals(signatures(np.zeros((*shape, 3), dtype=np.float32))) == -1).all()


def test_huge_positions_are_numbers() -> None:
    frames = thermal(2, 5)
    frames[1] *= np.float32(5e37)
    assert np.isfinite(signatures(frames)).all()
