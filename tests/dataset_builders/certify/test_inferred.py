from dataclasses import replace

from dataset_builders.certify.coverage import DataSetCertificate, certify_task
from dataset_builders.certify.geometry.support import Counts, GeometricSupport, Group
from dataset_builders.certify.inferred import inferred_texts
from dataset_builders.tasks.regions import TASKS
from tests.dataset_builders.certify.test_coverage import certificate_of


def texts(*certificates, support=()):
    return inferred_texts(DataSetCertificate((), certificates, (), (), support))


def test_the_four_tasks():
    first, second, third, fourth = texts(*(certificate_of(name) for name in TASKS))
    assert first == (
        "task1: training never shows environments of radius 3 of all 40 OOD molecules: a model must infer them."
    )
    assert second == (
        "task2: training never shows environments of radius 2 of 4 of 24 OOD molecules, environments of radius 3 of "
        "12, torsion types of 8 (C2-C4-C4-C2, C3-C4-C4-C3, Cl1-C4-C4-Cl1, N3-C4-C4-N3, O2-C4-C4-O2, S2-C4-C4-S2) and "
        "element pairs of 15 (Cl-Cl, N-N, S-S): a model must infer them. Every part of the other 5 was shown."
    )
    assert "C3-C4-C4-C3, C3-C4-C4-Cl1 and 5 more) and element pairs of 24 (Cl-N, Cl-O, N-N, N-O)" in third
    assert "every part" not in fourth.lower()


def test_every_part_was_shown_only_if_every_column_is_full():
    words = {"H-4-H": "CCCC", "H-6-H": "CCCCCC", "H-8-H": "CCCCCCCC"}
    full = certify_task("task5", TASKS["task1"], words, {"H-7-H": "CCCCCCC"})
    assert not full.incomplete
    assert texts(full) == [
        "task5: every part of its 1 OOD molecules was shown: environments up to radius 3, torsion types and pairs of "
        "heavy elements; training fixes their total energies."
    ]
    for lacking in (
        replace(full, undetermined=("H-7-H",)),
        replace(full, unseen_torsions={"H-7-H": ("C4-C4-C4-C4",)}),
        replace(full, unseen_pairs={"H-7-H": ("C-C",)}),
    ):
        assert "every part" not in texts(lacking)[0].lower()
    assert texts(replace(full, undetermined=("H-7-H",))) == [
        "task5: Training leaves the total energies of all 1 OOD molecules open."
    ]


def test_geometry_is_said_for_the_configuration_in_which_it_was_measured():
    support = GeometricSupport(
        "task4",
        {
            Group("train", "", 2): Counts(frames=100, two_ended=50, contacts=10),
            Group("test_id", "", 2): Counts(frames=200, unseen_angles=2),
            Group("test_ood", "", 6): Counts(frames=50, unseen_angles=5, two_ended=50, contacts=25, hydrogen_bonds=1),
        },
    )
    certificate = certificate_of("task4")
    (text,) = texts(certificate, replace(certificate, config="task4-pbe"), support=(support,))
    assert text.endswith(
        "Of the OOD frames, 10 % have a torsion angle that training does not show (ID: 1 %), 50 % have the two "
        "end fragments within 5 Å of each other (training: 10 %) and 2 % have a hydrogen bond between them "
        "(training: none)."
    )
