from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset_builders.core.errors import UsageError
from dataset_builders.tasks.editions import (
    EDITIONS,
    FRAMES_PER_BURST,
    SPLITS,
    Edition,
    edition_note,
    edition_order,
    find_edition,
    split_of_frame,
)

sizes = st.integers(1, 60).map(lambda bursts: bursts * FRAMES_PER_BURST)
editions = st.builds(Edition, st.just("any"), sizes, sizes, sizes, sizes)


def test_mini_takes_the_documented_bursts():
    mini = EDITIONS["mini"]
    assert {split: mini.bursts(split) for split in SPLITS} == {
        "train": (0, 1, 2, 3, 4),
        "validation": (0,),
        "test_id": (1, 2),
        "test_ood": (0, 1),
    }


def test_standard_interleaves_validation_and_test():
    standard = EDITIONS["standard"]
    assert standard.bursts("validation") == (0, 5, 10, 15)
    assert standard.bursts("test_id")[:6] == (1, 2, 3, 4, 6, 7)
    assert standard.bursts("test_id")[-1] == 19


@pytest.mark.parametrize("edition", EDITIONS.values(), ids=lambda edition: edition.name)
def test_bursts_yield_the_stated_frames(edition):
    for split in SPLITS:
        assert len(set(edition.bursts(split))) * FRAMES_PER_BURST == getattr(edition, split)


@given(editions)
def test_bursts_lie_in_the_split_that_the_frame_rule_gives(edition):
    for split in ("validation", "test_id"):
        for burst in edition.bursts(split):
            frames = range(burst * FRAMES_PER_BURST, (burst + 1) * FRAMES_PER_BURST)
            assert {split_of_frame("secondary", frame, is_ood=False) for frame in frames} == {split}


@given(editions, editions)
def test_editions_nest(first, second):
    for one, other in combinations(("validation", "test_id"), 2):
        assert not set(first.bursts(one)) & set(second.bursts(other))


def test_sizes_of_ones_own():
    assert find_edition("100/10/5/10") == Edition("100/10/5/10", 100, 10, 5, 10)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("05/5/5/5", "5/5/5/5"),
        ("0" * 5000 + "5/5/5/5", "5/5/5/5"),
        ("25/10/5/10", "mini"),
        ("025/10/5/10", "mini"),
        ("400/100/20/80", "standard"),
        ("2000/2000/100/400", "full"),
        ("25/20/5/10", "25/20/5/10"),
    ],
    ids=range(7),
)
def test_equal_sizes_are_one_edition_with_one_name(text, name):
    assert find_edition(text) == find_edition(name)
    assert find_edition(text).name == name


@pytest.mark.parametrize("text", ["huge", "1/2/3", "-5/5/5/5", "5/5/5/x"])
def test_an_unknown_edition_is_named(text):
    with pytest.raises(UsageError, match=f"unknown edition '{text}'; known editions: mini standard full"):
        find_edition(text)


@pytest.mark.parametrize("size", ["1000005", "9" * 30, "9" * 5000], ids=range(3))
def test_an_edition_of_more_frames_than_any_machine_holds_is_refused(size):
    """The metadata of files of strangers name editions too."""
    with pytest.raises(UsageError, match="expected at most 1,000,000 frames of a molecule in a split"):
        find_edition(f"5/5/5/{size}")


@pytest.mark.parametrize("text", ["0/5/5/5", "12/5/5/5"])
def test_sizes_are_whole_bursts(text):
    with pytest.raises(UsageError, match="positive multiple of 5"):
        find_edition(text)


def test_no_split_holds_secondary_frames_of_unseen_molecules():
    with pytest.raises(UsageError, match="secondary frame 3 of an OOD molecule"):
        split_of_frame("secondary", 3, is_ood=True)


def test_few_frames_of_a_molecule_come_from_different_bursts():
    edition = find_edition("25/20/5/10")
    assert edition.frames("train", 1) == (0,)
    assert edition.frames("test_ood", 4) == (0, 5, 10, 15)
    assert edition.frames("test_id", 2) == (5, 10)


@pytest.mark.parametrize(
    ("name", "note"),
    [
        (
            "mini",
            "mini is the demonstration and test edition (2 conformers of an OOD molecule); standard (20) ranks models",
        ),
        ("25/20/5/10", "25/20/5/10 is an own build (4 conformers of an OOD molecule); standard (20) ranks models"),
        ("400/5/5/10", "400/5/5/10 is an own build (1 conformer of an OOD molecule); standard (20) ranks models"),
        ("standard", None),
        ("full", None),
        ("25/100/5/10", None),
        ("imported", None),
        ("unknown", None),
    ],
)
def test_an_edition_that_is_too_small_to_rank_says_so(name, note):
    assert edition_note(name) == note


def test_the_best_edition_comes_last():
    order = ["unknown", "mini", "imported", "100/10/5/10", "25/20/5/10", "standard", "full"]
    assert sorted(set(order), key=edition_order) == order
