from dataclasses import replace

import pytest

from dataset_builders.certify.coverage import Coverage, DataSetCertificate, certify_task
from dataset_builders.certify.coverage_tables import (
    CERTIFICATE_HEADER,
    certificate_notes,
    certificate_rows,
    one_for_each_task,
)
from dataset_builders.core.errors import DataError
from dataset_builders.tasks.regions import TASKS


def molecules(words):
    return {each.molecule_id: each.smiles for each in words}


def certificate_of(name):
    task = TASKS[name]
    return certify_task(name, task, molecules(task.train_words()), molecules(task.ood_words()))


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("task1", ("task1", "30", "40", "0", "40/40", "40/40", "0/40", "40/40", "40/40", "40/40", "0/40", "-", "0.26")),
        (
            "task2",
            ("task2", "36", "24", "0", "24/24", "20/24", "12/24", "24/24", "16/24", "9/24", "5/24", "12/12", "0.23"),
        ),
        (
            "task3",
            ("task3", "28", "30", "0", "30/30", "18/30", "15/30", "30/30", "15/30", "6/30", "3/30", "15/15", "0.24"),
        ),
        ("task4", ("task4", "18", "16", "0", "16/16", "16/16", "0/16", "16/16", "16/16", "16/16", "0/16", "-", "0.10")),
    ],
)
def test_the_certificates_of_the_tasks(name, row):
    certificate = certificate_of(name)
    assert certificate.ok
    assert certificate_rows([certificate]) == [row]
    assert len(row) == len(CERTIFICATE_HEADER)


def test_far_molecules_show_no_environment_of_three_bonds_that_training_lacks():
    assert set(certificate_of("task3").far) == {
        word.molecule_id for word in TASKS["task3"].ood_words() if word.spacer == 6
    }
    # What differs from a chain is a bond farther away in these groups, so that three bonds reach it less often.
    ends = {word.molecule_id: (word.left, word.spacer) for word in TASKS["task2"].ood_words()}
    distant = {"CN", "CHO", "COOH", "CONH2"}
    expected = {name for name, (end, spacer) in ends.items() if spacer >= (4 if end in distant else 6)}
    assert set(certificate_of("task2").far) == expected


def test_an_ood_molecule_in_training_fails_in_another_resonance_formula():
    sulfone, charged = "CCS(C)(=O)=O", "CC[S+2](C)([O-])[O-]"
    certificate = certify_task("task1", TASKS["task1"], {"a-2-H": sulfone, "H-3-H": "CCC"}, {"b-2-H": charged})
    assert certificate.shared == ("b-2-H",)
    assert not certificate.ok


def test_an_ood_molecule_in_training_fails_however_its_smiles_is_spelt():
    task = TASKS["task1"]
    certificate = certify_task("task1", task, {"OH-2-H": "CCO", "OH-3-H": "CCCO"}, {"OH-2-H": "OCC"})
    assert certificate.shared == ("OH-2-H",)
    assert not certificate.ok
    assert certificate_notes([certificate])[0] == "task1, in training and OOD: OH-2-H"


def test_a_molecule_with_an_unseen_part_fails():
    certificate = certify_task("task1", TASKS["task1"], {"H-3-H": "CCC", "H-4-H": "CCCC"}, {"OH-2-H": "CCO"})
    assert certificate.coverage[0] == Coverage(1, 1, ("OH-2-H",))
    assert not certificate.ok


def test_a_molecule_whose_total_energy_is_open_passes_and_is_named():
    # One fragment and one methyl end in each: what of their sum belongs to which is open.
    train = {"OH-2-H": "CCO", "OH-3-H": "CCCO", "OH-4-H": "CCCCO"}
    certificate = certify_task("task2", TASKS["task2"], train, {"OH-3-OH": "OCCCO", "OH-5-H": "CCCCCO"})
    assert certificate.undetermined == ("OH-3-OH",)
    assert certificate.ok
    assert certificate_rows([certificate])[0][7] == "1/2"
    assert certificate_notes([certificate])[-2:] == [
        "task2, total energy not determined by training: OH-3-OH",
        "task2, element pairs not in training: O-O (OH-3-OH)",
    ]


def test_without_training_there_is_no_certificate():
    with pytest.raises(DataError, match="a set of molecules has no heavy atom"):
        certify_task("task1", TASKS["task1"], {}, {"OH-2-H": "CCO"})


def test_notes_name_what_is_not_covered():
    assert certificate_notes([certificate_of("task2")])[0] == (
        "task2, not covered at radius 2: OH-2-OH, SH-2-SH, NH2-2-NH2, Cl-2-Cl"
    )
    assert certificate_notes([certificate_of("task4")]) == ["task4, not covered at radius 3: all"]


def test_unseen_torsion_types_and_element_pairs_by_molecule():
    train = {"Cl-2-H": "CCCl", "NH2-2-H": "CCN", "H-4-H": "CCCC"}
    certificate = certify_task("task3", TASKS["task3"], train, {"Cl-2-NH2": "NCCCl", "H-3-H": "CCC"})
    assert certificate.unseen_torsions == {"Cl-2-NH2": ("Cl1-C4-C4-N3",)}
    assert certificate.unseen_pairs == {"Cl-2-NH2": ("Cl-N",)}
    assert certificate.ok  # only environments of radius 1 are required
    assert "Cl-2-NH2" in certificate.incomplete


def test_levels_of_theory_of_a_task_share_a_row_and_its_notes():
    first = certificate_of("task2")
    same = [first, replace(first, config="task2-pbe"), certificate_of("task4"), replace(first, config="task2-wb97x")]
    assert list(one_for_each_task(same)) == [("task2", "task2-pbe", "task2-wb97x"), ("task4",)]
    assert [row[0] for row in certificate_rows(same)] == ["task2 (-pbe, -wb97x)", "task4"]
    assert len(certificate_notes(same)) == len(certificate_notes([first])) + 1
    other = replace(first, config="task2-pbe", n_ood=23)
    assert [row[0] for row in certificate_rows([first, other])] == ["task2", "task2-pbe"]


def test_a_data_set_without_any_failure_is_ok():
    assert DataSetCertificate((), (certificate_of("task4"),), ("task1",)).ok
