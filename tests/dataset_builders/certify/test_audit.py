import functools
import math
import re
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dataset_builders.card.dataset_card import card_facts
from dataset_builders.certify.audit import PROBLEMS_SHOWN
from dataset_builders.certify.audit import certify as certify_all
from dataset_builders.core.errors import CertificateError, DataError
from dataset_builders.folder.schema import with_metadata
from dataset_builders.tasks.regions import TASKS
from tests.dataset_builders.synthetic_folder import (
    METADATA,
    edit_rows,
    path_of,
    row_of,
    rows_of,
    total_energy,
    write_folder,
)

certify = functools.partial(certify_all, with_geometry=False)
"""Checks of rows and molecules; tests/dataset_builders/certify/geometry has those of geometric support."""


@pytest.fixture(scope="module")
def good_folder(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("good") / "out")


@pytest.fixture
def folder(good_folder, tmp_path):
    """A copy to spoil."""
    return shutil.copytree(good_folder, tmp_path / "out")


def found_in(report, text):
    return [each for each in report.problems if text in each.seen]


def test_a_good_folder(good_folder):
    report = certify(good_folder)
    assert report.problems == ()
    assert report.ok
    assert report.certificate.missing == ("task1", "task3", "task4")
    assert report.certificate.summaries[0].n_rows == {"train": 180, "validation": 180, "test_id": 180, "test_ood": 120}
    assert report.certificate.summaries[0].n_molecules["test_ood"] == 24
    text = report.text()
    assert "660 frames in 4 files" in text
    assert re.search(r"task2 +36 +24 +0 +24/24 +20/24 +12/24 +24/24 +16/24 +9/24 +5/24 +12/12 +0\.23", text)
    assert "not in this folder: task1, task3, task4" in text
    assert text.endswith("\n\ncertified")


def test_geometric_support_is_measured_unless_left_out(good_folder):
    (support,) = certify_all(good_folder).certificate.support
    assert support.config == "task2"
    assert support.of_split("test_ood").frames == 120
    report = certify(good_folder)
    assert report.ok
    assert report.certificate.support == ()
    assert "Geometric support was not measured" in report.text()


def test_an_absent_folder(tmp_path):
    with pytest.raises(DataError, match=r"nowhere is not a folder; expected files such as .*build --out DIR"):
        certify(tmp_path / "nowhere")


def test_a_folder_without_configurations(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"has no configuration; expected files such as"):
        certify(tmp_path)


@pytest.mark.parametrize("damage", ["cut", "garbage", "page"])
def test_a_corrupt_file_is_named(folder, damage):
    path = path_of(folder, "task2", "test_id")
    content = bytearray(path.read_bytes())
    if damage == "cut":
        content = content[: len(content) // 2]
    elif damage == "garbage":
        content = bytearray(b"not Parquet at all")
    else:
        content[2000:3000] = b"\xff" * 1000
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"test_id-00000-of-00001\.parquet cannot be read as Parquet"):
        certify(folder)


def test_not_a_number_is_named_with_its_row(folder):
    def spoil(rows):
        rows[7]["forces"][2] = float("nan")

    edit_rows(path_of(folder, "task2", "train"), spoil)
    report = certify(folder)
    assert [(each.file, each.row) for each in report.problems] == [("task2/train-00000-of-00001.parquet", 7)]
    assert "task2/train-00000-of-00001.parquet row 7 (H-4-H primary 2): " in report.text()
    assert report.text().endswith("NOT certified")


def at_one_place(row):
    row["positions"] = [0.0] * len(row["positions"])


def far_away(row):
    row["positions"] = [1e30] * len(row["positions"])


def undefined(row):
    row["positions"] = [math.nan] * len(row["positions"])


def two_coinciding(row):
    row["positions"][3:6] = row["positions"][:3]
    row["forces"][0] = 500.0


def nearly_coinciding(row):
    row["positions"][3:6] = [value + 1e-6 for value in row["positions"][:3]]


def huge_energy(row):
    row["energy"] = 1e300


DAMAGE = [
    (at_one_place, "0.00 Å apart without a bond"),
    (far_away, "a number of 1e+30 among energy, positions and forces"),
    (undefined, "energy, positions or forces that are not finite"),
    (two_coinciding, "Å long, limit"),
    (nearly_coinciding, "Å long, limit"),
    (huge_energy, "a number of 1e+300 among energy, positions and forces"),
]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("split", ["train", "test_ood"])
@pytest.mark.parametrize(("damage", "message"), DAMAGE, ids=lambda value: getattr(value, "__name__", ""))
def test_one_damaged_row_is_reported_as_what_it_is(folder, damage, message, split):
    edit_rows(path_of(folder, "task2", split), lambda rows: damage(rows[3]))
    report = certify_all(folder)
    assert found_in(report, message)
    assert {(each.file, each.row) for each in report.problems} == {(f"task2/{split}-00000-of-00001.parquet", 3)}
    assert max(len(str(each)) for each in report.problems) < 300


@pytest.mark.parametrize("molecule_id", ["OH-300000-H", f"OH-{'9' * 5000}-H", "OH-02-H", "OH-+2-H", "OH-\u0662-H"])
def test_an_id_with_an_impossible_spacer(folder, molecule_id):
    edit_rows(path_of(folder, "task2", "train"), lambda rows: rows[3].update(molecule_id=molecule_id))
    (problem,) = found_in(certify(folder), "an invalid molecule id")
    assert problem.row == 3
    assert len(str(problem)) < 300


def test_a_missing_column(folder):
    path = path_of(folder, "task2", "test_ood")
    pq.write_table(pq.read_table(path).drop_columns(["subset"]), path)
    report = certify(folder)
    assert found_in(report, "column 'subset' is missing")
    assert not report.ok


def test_without_metadata(folder):
    path = path_of(folder, "task2", "train")
    pq.write_table(pq.read_table(path).replace_schema_metadata(None), path)
    assert next(each.seen for each in certify(folder).problems) == "no readable metadata"


def test_metadata_that_differ_between_files(folder):
    path = path_of(folder, "task2", "test_id")
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata(with_metadata(METADATA | {"seed": 1}).metadata), path)
    assert [each.seen for each in certify(folder).problems] == ["metadata seed = 1"]


def test_labels_of_another_level_than_the_name_says(folder):
    (folder / "task2").rename(folder / "task2-pbe")
    report = certify(folder)
    level, *others = report.problems
    assert "look like GFN2-xTB, not PBE-D3(BJ)/def2-TZVP" in level.seen
    assert {each.seen for each in others} == {"labels of GFN2-xTB"}
    assert len(others) == 4


def test_a_duplicated_frame(folder):
    edit_rows(path_of(folder, "task2", "train"), lambda rows: rows.append(dict(rows[3])))
    problem = found_in(certify(folder), "a frame that is")[0]
    assert problem.row == 180
    assert problem.seen == "a frame that is also task2/train-00000-of-00001.parquet row 3"


@pytest.mark.parametrize(
    "change", [lambda x: x @ np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1.0]]), lambda x: -x, lambda x: np.round(x, 4)]
)
def test_a_test_frame_among_those_of_training_is_found_however_it_was_written(folder, change):
    """Rotated with its forces, mirrored, or rounded: no number of it is that of the original."""
    moved = {}

    def keep(rows):
        moved.update(rows[3])

    def leak(rows):
        target = next(row for row in rows if row["molecule_id"] == moved["molecule_id"])
        target["energy"] = moved["energy"]
        for name in ("positions", "forces"):
            vectors = np.asarray(change(np.reshape(moved[name], (-1, 3))), np.float32)
            target[name] = vectors.reshape(np.shape(moved[name])).tolist()

    edit_rows(path_of(folder, "task2", "test_id"), keep)
    edit_rows(path_of(folder, "task2", "train"), leak)
    report = certify(folder)
    assert not report.ok
    (problem,) = found_in(report, "moved, mirrored or rounded")
    assert problem.file == "task2/test_id-00000-of-00001.parquet"
    assert problem.row == 3
    assert problem.seen.startswith("the geometry of task2/train-00000-of-00001.parquet row ")


def test_the_same_geometry_under_another_name(folder):
    def copy_labels(rows):
        for name in ("positions", "energy", "forces"):
            rows[4][name] = rows[3][name]

    edit_rows(path_of(folder, "task2", "train"), copy_labels)
    problems = certify(folder).problems
    assert [(each.row, each.seen) for each in problems] == [
        (4, "the positions of task2/train-00000-of-00001.parquet row 3")
    ]


def test_a_burst_in_two_splits(folder):
    validation = path_of(folder, "task2", "validation")
    moved = []

    def take(rows):
        moved.append(rows.pop(2))

    edit_rows(validation, take)
    edit_rows(path_of(folder, "task2", "test_id"), lambda rows: rows.extend(moved))
    problems = found_in(certify(folder), "burst 0 in test_id and in validation")
    assert [(each.row, each.frame) for each in problems] == [(180, "secondary 2")]


def test_a_label_of_another_molecule(folder):
    def swap(rows):
        rows[0]["energy"], rows[60]["energy"] = rows[60]["energy"], rows[0]["energy"]

    edit_rows(path_of(folder, "task2", "train"), swap)
    problems = found_in(certify(folder), "from the median of its molecule")
    assert sorted(each.row for each in problems) == [0, 60]


def test_a_molecule_whose_every_energy_is_wrong(folder):
    def shift(rows):
        for row in rows:
            if row["molecule_id"] == "OH-2-H":
                row["energy"] += 9.0

    for split in ("train", "validation", "test_id"):
        edit_rows(path_of(folder, "task2", split), shift)
    problems = certify(folder).problems
    assert [(each.molecule_id, each.row) for each in problems] == [("OH-2-H", None)]
    # What the fit leaves of a correct molecule is chemistry, up to 1.64 eV.
    found = re.fullmatch(r"a median energy \+(\d+\.\d) eV from a fit of all molecules .*", problems[0].seen)
    assert float(found[1]) == pytest.approx(9.0, abs=1.64)


def test_a_missing_molecule_and_a_missing_frame(folder):
    def spoil(rows):
        del rows[:5]
        del rows[8]

    gone = rows_of(TASKS["task2"], "train")
    edit_rows(path_of(folder, "task2", "train"), spoil)
    problems = certify(folder).problems
    assert [each.molecule_id for each in problems] == [gone[0]["molecule_id"], gone[13]["molecule_id"]]
    assert problems[0].seen == "0 frames in train, without frame 0, 1, 2, 3, 4"
    assert problems[1].seen == f"4 frames in train, without frame {gone[13]['frame']}"


def test_frames_beyond_the_edition(folder):
    word = TASKS["task2"].train_words()[0]
    extra = [row_of(TASKS["task2"], "train", word, frame) for frame in range(5, 10)]
    edit_rows(path_of(folder, "task2", "train"), lambda rows: rows.extend(extra))
    problem = certify(folder).problems[0]
    assert problem.seen == "10 frames in train, with frame 5, 6, 7, 8, 9"


def test_an_ood_molecule_in_training(folder):
    leaked = rows_of(TASKS["task2"], "test_ood")[:5]
    for row in leaked:
        row["subset"] = ""
    edit_rows(path_of(folder, "task2", "train"), lambda rows: rows.extend(leaked))
    report = certify(folder)
    assert not report.certificate.ok
    assert report.certificate.tasks[0].shared == (leaked[0]["molecule_id"],)
    assert "task2: its OOD molecules are not unseen, or training does not cover them" in report.text()
    assert len(found_in(report, "this molecule in train")) == 5


def test_a_missing_split(folder):
    path_of(folder, "task2", "test_ood").unlink()
    report = certify(folder)
    assert [each.seen for each in report.problems] == ["no file of test_ood"]
    assert report.certificate.tasks == ()
    assert not report.certificate.ok


def test_files_and_folders_that_belong_nowhere(folder):
    path = path_of(folder, "task2", "train")
    shutil.copy(path, path.with_name("dev-00000-of-00001.parquet"))
    for name in ("Task 9", "task9"):
        (folder / name).mkdir()
        shutil.copy(path, folder / name / "train-00000-of-00001.parquet")
    (folder / ".task1.partial").mkdir()
    shutil.copy(path, folder / ".task1.partial" / "train.parquet")
    seen = [each.seen for each in certify(folder).problems]
    assert seen == [
        "Parquet files in a folder that is not a configuration",
        "task9/train-00000-of-00001.parquet is a configuration of task9, but its metadata declare no task of that "
        "name; expected one of task1 task2 task3 task4, or files that `python -m dataset_builders build --task-file` "
        "wrote",
        "a file that belongs to no split",
    ]


def test_a_frame_that_two_configurations_label_differently(folder):
    rows = rows_of(TASKS["task3"], "train")
    shared = next(row for row in rows if row["molecule_id"] == "OH-2-H")
    shared["energy"] += 0.001
    moved = next(row for row in rows if row["molecule_id"] == "CN-4-H")
    moved["positions"] = moved["positions"] + np.float32(0.5)
    (folder / "task3").mkdir()
    table = pa.Table.from_pylist(rows, schema=with_metadata(METADATA))
    pq.write_table(table, path_of(folder, "task3", "train"))
    report = certify(folder)
    assert [each.molecule_id for each in found_in(report, "a different energy or forces")] == ["OH-2-H"]
    assert [each.molecule_id for each in found_in(report, "different elements or positions")] == ["CN-4-H"]


def to_pbe(smiles):
    return total_energy("pbe-d3bj", smiles) - total_energy("gfn2-xtb", smiles)


def test_other_levels_may_differ_in_labels_but_not_in_geometry(folder):
    shutil.copytree(folder / "task2", folder / "task2-pbe")
    level = METADATA | {"level_of_theory": {"method": "PBE-D3(BJ)/def2-TZVP"}}
    for path in sorted((folder / "task2-pbe").glob("*.parquet")):
        edit_rows(path, lambda rows: [row.update(energy=row["energy"] + to_pbe(row["smiles"])) for row in rows])
        pq.write_table(pq.read_table(path).replace_schema_metadata(with_metadata(level).metadata), path)
    report = certify(folder)
    assert report.problems == ()
    assert [each.method for each in report.certificate.summaries] == ["GFN2-xTB", "PBE-D3(BJ)/def2-TZVP"]


def test_many_problems_are_counted_and_some_are_shown(folder):
    edit_rows(path_of(folder, "task2", "train"), lambda rows: [row.update(left="F") for row in rows])
    report = certify(folder)
    assert len(report.problems) == 180
    assert f"and {180 - PROBLEMS_SHOWN} more" in report.text()


def test_no_card_for_a_folder_that_fails(folder):
    edit_rows(path_of(folder, "task2", "train"), lambda rows: rows[0].update(left="F"))
    with pytest.raises(CertificateError, match=r"fails its certificate with 1 problems, first task2/train"):
        card_facts(certify(folder), "someone/some-data")


def test_shards_are_read_together(folder):
    path = path_of(folder, "task2", "train")
    table = pq.read_table(path)
    path.unlink()
    for number, part in enumerate((table.slice(0, 92), table.slice(92))):
        pq.write_table(part, path.with_name(f"train-{number:05d}-of-00002.parquet"))
    report = certify(folder)
    assert report.ok
    assert report.n_files == 5


def test_the_builders_own_files(small_build):
    """Rows of the real builder deviate only in that its small task has other molecules than the real one."""
    _, directory = small_build
    about_rows = [each for each in certify(directory).problems if each.row is not None]
    assert about_rows
    assert all(each.seen.startswith("this molecule in ") for each in about_rows)
