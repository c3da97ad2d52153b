import numpy as np
import pyarrow as pa
import pytest

from dataset_builders.certify.row_checks import (
    Place,
    Problem,
    edition_of,
    file_problems,
    frame_problems,
    frames_by_molecule,
    method_of,
    sound_rows,
)
from dataset_builders.chemistry.levels import GFN2
from dataset_builders.folder.schema import METADATA_KEY, SCHEMA, with_metadata
from dataset_builders.tasks.regions import TASKS
from tests.dataset_builders.synthetic_folder import METADATA, row_of

TASK = TASKS["task2"]
WORDS = TASK.train_words()[:4]


def rows(split="train", words=WORDS, frames=(0, 1)):
    return [row_of(TASK, split, each, frame) for each in words for frame in frames]


def problems_of(rows, split="train", first_row=0):
    batch = pa.RecordBatch.from_pylist(rows, schema=SCHEMA)
    place = Place("task2/file.parquet", "task2", TASK, GFN2, split)
    sound, numbers, problems = sound_rows(batch, first_row, place.file)
    for frames in frames_by_molecule(sound, numbers, place.file):
        problems.extend(frame_problems(frames, place))
    return problems


def only_problem(rows, split="train"):
    problems = problems_of(rows, split)
    assert len(problems) == 1, [str(each) for each in problems]
    return problems[0]


def test_good_rows_have_no_problem():
    assert problems_of(rows()) == []
    assert problems_of(rows("test_ood", TASK.ood_words(), (0,)), "test_ood") == []


def test_a_missing_value():
    broken = rows()
    broken[3]["energy"] = None
    problem = only_problem(broken)
    assert (problem.row, problem.seen) == (3, "no value of energy")


@pytest.mark.parametrize("name", ["atomic_numbers", "positions", "forces"])
def test_a_list_of_the_wrong_length(name):
    broken = rows()
    broken[2][name] = list(broken[2][name])[:-1]
    problem = only_problem(broken)
    assert (problem.row, problem.molecule_id) == (2, broken[2]["molecule_id"])
    assert f"values of {name} with n_atoms {broken[2]['n_atoms']}" in problem.seen


def test_rows_after_one_left_out_keep_their_numbers():
    broken = rows()
    broken[1]["positions"] = []
    broken[5]["left"] = "F"
    assert [each.row for each in problems_of(broken, first_row=100)] == [101, 105]


@pytest.mark.parametrize("name", ["energy", "positions", "forces"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_not_finite(name, value):
    broken = rows()
    if name == "energy":
        broken[1]["energy"] = value
    else:
        broken[1][name] = broken[1][name].copy()
        broken[1][name][4] = value
    problem = only_problem(broken)
    assert (problem.row, problem.frame) == (1, "primary 1")
    assert "not finite" in problem.seen


def test_a_null_inside_a_list_is_not_finite():
    broken = rows()
    broken[1]["forces"] = [None, *broken[1]["forces"][1:]]
    assert "not finite" in only_problem(broken).seen


def test_a_wrong_element():
    broken = rows()
    broken[2]["atomic_numbers"] = [8, *broken[2]["atomic_numbers"][1:]]
    problem = only_problem(broken)
    assert problem.row == 2
    assert problem.seen == "atomic number 8 of atom 0"


@pytest.mark.parametrize(
    ("name", "value"), [("smiles", "OCC"), ("left", "SH"), ("right", "OH"), ("spacer", 3), ("subset", "near")]
)
def test_columns_that_do_not_fit_the_word(name, value):
    broken = rows()
    broken[4][name] = value
    problem = only_problem(broken)
    assert problem.row == 4
    assert problem.seen == f"{name} {value!r}"


def test_a_wrong_subset():
    broken = rows("test_ood", TASK.ood_words(), (0,))
    right = broken[0]["subset"]
    broken[0]["subset"] = {"near": "far", "far": "near"}[right]
    assert only_problem(broken, "test_ood").expected == repr(right)


def test_a_name_that_is_no_word():
    broken = rows()
    broken[0]["molecule_id"] = "H-2-OH"
    problem = only_problem(broken)
    assert (problem.row, problem.seen) == (0, "an invalid molecule id")


def test_a_molecule_of_another_molecules_size():
    broken = rows()
    other = row_of(TASK, "train", WORDS[1], 0)
    for name in ("n_atoms", "atomic_numbers", "positions", "forces"):
        broken[0][name] = other[name]
    assert only_problem(broken).seen == f"n_atoms {other['n_atoms']}"


def test_a_training_molecule_among_the_ood_ones():
    problem = only_problem([row_of(TASK, "test_ood", WORDS[0], 0)], "test_ood")
    assert problem.seen == "this molecule in test_ood"
    assert problem.expected == "only the OOD molecules of task2"


def test_a_frame_of_the_other_trajectory():
    broken = rows()
    broken[1]["trajectory"] = "secondary"
    assert only_problem(broken).expected == "frames of the primary trajectory from 0 in train"


def test_a_frame_below_zero():
    broken = rows()
    broken[1]["frame"] = -1
    assert only_problem(broken).row == 1


@pytest.mark.parametrize(("split", "frame", "right"), [("validation", 5, "test_id"), ("test_id", 25, "validation")])
def test_a_secondary_burst_of_the_other_split(split, frame, right):
    problem = only_problem([row_of(TASK, split, WORDS[0], frame)], split)
    assert (problem.seen, problem.expected) == (f"burst {frame // 5} in {split}", f"this burst in {right}")


def test_a_force_too_large():
    broken = rows()
    forces = np.array(broken[0]["forces"]).reshape(-1, 3)
    # Along the line between two atoms, so that neither force nor torque is left over.
    positions = np.array(broken[0]["positions"]).reshape(-1, 3)
    arm = positions[1] - positions[0]
    pull = 30.0 * arm / np.linalg.norm(arm)
    forces[0] += pull
    forces[1] -= pull
    broken[0]["forces"] = forces.ravel()
    assert only_problem(broken).expected == "at most 20 eV/Å"


def test_forces_that_do_not_sum_to_nothing():
    broken = rows()
    broken[0]["forces"] = broken[0]["forces"].copy()
    broken[0]["forces"][0] += 0.01
    seen = [each.seen for each in problems_of(broken)]
    assert "forces that sum to 0.01 eV/Å" in seen


def test_the_forces_of_another_frame_show_by_their_torque():
    broken = rows()
    broken[0]["forces"], broken[1]["forces"] = broken[1]["forces"], broken[0]["forces"]
    problems = problems_of(broken)
    assert [each.row for each in problems] == [0, 1]
    assert all(each.seen.startswith("torques that sum to") for each in problems)


def test_a_broken_bond_is_found_in_its_own_row():
    broken = rows()
    positions = np.array(broken[3]["positions"]).reshape(-1, 3)
    positions[-1] += 5.0
    broken[3]["positions"] = positions.ravel()
    found = [each for each in problems_of(broken) if "Å long" in each.seen]
    assert [each.row for each in found] == [3]
    assert "frame 0" not in found[0].seen


def test_a_good_schema():
    assert file_problems(with_metadata(METADATA), "f") == []


def test_a_missing_column_and_a_wrong_type():
    schema = with_metadata(METADATA)
    schema = schema.remove(schema.get_field_index("forces"))
    index = schema.get_field_index("energy")
    schema = schema.set(index, pa.field("energy", pa.float32()))
    seen = [each.seen for each in file_problems(schema, "f")]
    assert seen == [
        "column 'energy' is float; expected double",
        "column 'forces' is missing (expected list<item: float>)",
    ]


@pytest.mark.parametrize("raw", [None, {METADATA_KEY: b"{no json"}, {METADATA_KEY: b"[1]"}])
def test_metadata_that_cannot_be_read(raw):
    assert [each.seen for each in file_problems(SCHEMA.with_metadata(raw), "f")] == ["no readable metadata"]


@pytest.mark.parametrize(
    ("change", "seen"),
    [
        ({"edition": "nano"}, "metadata edition = nano"),
        ({"level_of_theory": {}}, "metadata level_of_theory = {}"),
        ({"units": {"energy": "Hartree"}}, "metadata units = {'energy': 'Hartree'}"),
        ({"schema_version": "0.9"}, "metadata schema_version = 0.9"),
    ],
)
def test_metadata_that_say_something_else(change, seen):
    assert [each.seen for each in file_problems(with_metadata(METADATA | change), "f")] == [seen]


def test_what_metadata_say():
    assert edition_of({"edition": "mini"}).train == 25
    assert edition_of({}) is None
    assert method_of({"level_of_theory": {"method": "GFN2-xTB"}}) == "GFN2-xTB"
    assert method_of({"level_of_theory": "GFN2-xTB"}) == ""


def test_the_text_of_a_problem():
    about_row = Problem("task1/a.parquet", 3, "OH-2-H", "primary 4", "x", "y")
    assert str(about_row) == "task1/a.parquet row 3 (OH-2-H primary 4): x; expected y"
    assert str(Problem("task1", None, "", "", "x", "y")) == "task1: x; expected y"
