import pytest

from dataset_builders.certify.geometry.support import Counts, GeometricSupport, Group
from dataset_builders.certify.geometry.support_tables import SUPPORT_HEADER, share, spacer_table, support_rows

SUPPORT = GeometricSupport(
    "task9",
    {
        Group("train", "", 2): Counts(frames=50),
        Group("test_id", "", 2): Counts(
            frames=20, seen_rotamers=20, unseen_angles=1, torsions=400, torsions_beyond=2, atoms=100, remote_atoms=5
        ),
        Group("test_id", "", 6): Counts(frames=20, seen_rotamers=2, torsions=600, atoms=100, remote_atoms=5),
        Group("test_ood", "far", 6): Counts(frames=10, torsions=300, two_ended=10, contacts=1, atoms=50),
        Group("test_ood", "near", 2): Counts(
            frames=10, unseen_types=10, torsions=200, unseen_pairs=9, two_ended=10, contacts=10, hydrogen_bonds=4
        ),
    },
)


@pytest.mark.parametrize(
    ("part", "whole", "digits", "text"),
    [
        (0, 0, 0, "-"),
        (0, 10, 1, "0 %"),
        (1, 1000, 0, "<1 %"),
        (5, 1000, 0, "<1 %"),
        (995, 1000, 0, ">99 %"),
        (999, 1000, 0, ">99 %"),
        (10, 10, 0, "100 %"),
        (1, 3, 0, "33 %"),
        (1, 10_000, 1, "<0.1 %"),
        (1, 3, 1, "33.3 %"),
    ],
)
def test_shares(part, whole, digits, text):
    assert share(part, whole, digits) == text


def test_rows_by_split_and_subset():
    rows = support_rows([SUPPORT])
    assert {len(row) for row in rows} == {len(SUPPORT_HEADER)}
    assert rows == [
        ("task9 test_id", "40", "55 %", "0 %", "2 %", "0.2 %", "0 %", "5 %", "-", "-"),
        ("task9 test_ood", "20", "0 %", "50 %", "0 %", "0 %", "45 %", "0 %", "55 %", "20 %"),
        ("task9 test_ood far", "10", "0 %", "0 %", "0 %", "0 %", "0 %", "0 %", "10 %", "0 %"),
        ("task9 test_ood near", "10", "0 %", "100 %", "0 %", "0 %", "90 %", "-", "100 %", "40 %"),
    ]


def test_training_has_a_row_if_it_has_molecules_with_two_ends():
    groups = {**SUPPORT.groups, Group("train", "", 4): Counts(frames=10, two_ended=10, contacts=3)}
    row = support_rows([GeometricSupport("task9", groups)])[0]
    assert row == ("task9 train", "60", *["-"] * 6, "30 %", "0 %")


def test_the_table_by_spacer():
    header, rows = spacer_table([SUPPORT])
    assert header == ("frames of", "share with", "all", "k = 2", "k = 6")
    assert rows == [
        ("task9 test_id", "rotamer in train", "55 %", "100 %", "10 %"),
        ("task9 test_ood far", "ends in contact", "10 %", "-", "10 %"),
        ("task9 test_ood near", "ends in contact", "100 %", "100 %", "-"),
    ]
