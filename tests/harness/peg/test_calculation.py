import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
from ase.calculators.calculator import Calculator

from dataset_builders.core.errors import DataError, UsageError
from harness.data.dataset import open_dataset
from harness.data.rows import read_split
from harness.peg.analysis import INTERVAL_COLUMNS, force_maes, interval_rows, measured, table_of
from harness.peg.benchmarks import BENCHMARKS, DATASET_VARIABLE
from harness.peg.calculation import NOT_EVALUATED, ListedModel, calculate
from harness.peg.columns import DISTANCE, columns_of
from harness.trust.pickles import sha256_of

GFN2 = BENCHMARKS["fragments_GFN2"]
WB97X = BENCHMARKS["fragments_wB97X"]


class Constant(Calculator):
    """The same force on every atom; fails on molecules with an element that it does not know."""

    implemented_properties = ("energy", "forces")

    def __init__(self, force=0.0, unknown=()):
        super().__init__()
        self.force, self.unknown = force, set(unknown)

    def calculate(self, atoms=None, properties=(), system_changes=()):
        super().calculate(atoms, properties, system_changes)
        if self.unknown & set(atoms.get_chemical_symbols()):
            raise KeyError("no parameters")
        self.results = {"energy": 0.0, "forces": np.full((len(atoms), 3), self.force)}


class Model:
    """A model as ml-peg hands it over."""

    def __init__(self, calculator):
        self.calculator = calculator
        self.asked = []

    def get_calculator(self, *, precision):
        self.asked.append(precision)
        return self.calculator

    def add_d3_calculator(self, calcs):
        self.asked.append("D3")
        return calcs


@pytest.fixture(scope="module")
def dataset(tiny_dataset):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(DATASET_VARIABLE, str(tiny_dataset))
        # It states MMFF94, at a distance that nobody measured from other levels.
        yield replace(open_dataset(str(tiny_dataset)), level_of_theory="GFN2-xTB")


@pytest.fixture(scope="module")
def outputs(dataset, tmp_path_factory):
    """Outputs of a model without forces, called `none`."""
    folder = tmp_path_factory.mktemp("outputs")
    calculate(listed("none", Constant()), GFN2, dataset, folder)
    return folder


def listed(name, calculator, **entry):
    return ListedModel(name, Model(calculator), entry)


def test_numbers_are_those_worked_out_from_the_labels(dataset, outputs):
    found = measured(["none", "absent"], dataset, outputs)
    table = table_of(found, dataset.tasks)
    assert tuple(table) == columns_of(dataset.tasks)
    for task in ("task1", "task4"):
        errors = {
            split: 1000 * np.abs(read_split(dataset, task, split).forces).mean() for split in ("test_ood", "test_id")
        }
        title = f"Task {task[-1]}"
        assert table[f"{title} OOD MAE"] == {"none": pytest.approx(errors["test_ood"], rel=1e-6)}
        assert table[f"{title} ID MAE"] == {"none": pytest.approx(errors["test_id"], rel=1e-6)}
        assert table[f"{title} gap"]["none"] == pytest.approx(errors["test_ood"] / errors["test_id"], rel=1e-6)
        assert table[f"{title} score"] == {"none": 0.0}
    assert table[DISTANCE] == {}


def test_a_molecule_without_a_computed_frame_has_no_error(dataset, outputs):
    result = measured(["none"], dataset, outputs).results["none"]
    row = result.tasks["task1"].by_molecule[0]
    places = [(row.split, row.molecule_id), ("test_ood", "no-such-molecule")]
    assert force_maes(result, "task1", places) == [1000 * row.force_mae, None]


def test_a_model_that_fails_on_some_frames_has_no_score(dataset, tmp_path):
    calculate(listed("some", Constant(unknown=["O"])), GFN2, dataset, tmp_path)
    found = measured(["some"], dataset, tmp_path)
    table = table_of(found, dataset.tasks)
    assert np.isnan(table["Task 1 score"]["some"])
    assert np.isnan(table["Task 1 gap"]["some"])
    assert table["Task 1 OOD MAE"]["some"] > 0
    notes = [row["Note"] for row in interval_rows(found)]
    assert all("frames that failed" in note for note in notes)


def test_a_model_that_fails_on_all_frames_is_recorded_with_its_reason(dataset, tmp_path):
    calculate(listed("all", Constant(unknown=["H"])), GFN2, dataset, tmp_path)
    assert "no parameters" in (tmp_path / "all" / NOT_EVALUATED).read_text()
    found = measured(["all"], dataset, tmp_path)
    table = table_of(found, dataset.tasks)
    assert all(np.isnan(table[column]["all"]) for column in table if column != DISTANCE)
    (row,) = interval_rows(found)
    assert tuple(row) == INTERVAL_COLUMNS
    assert "no parameters" in row["Note"]


def test_a_second_calculation_replaces_the_first(dataset, outputs, tmp_path):
    copy = tmp_path / "outputs"
    shutil.copytree(outputs, copy)
    first = table_of(measured(["none"], dataset, copy), dataset.tasks)["Task 1 OOD MAE"]["none"]
    calculate(listed("none", Constant(1.0)), GFN2, dataset, copy)
    second = table_of(measured(["none"], dataset, copy), dataset.tasks)["Task 1 OOD MAE"]["none"]
    assert second > first


def test_dispersion_is_added_only_where_the_labels_have_it(dataset, tmp_path):
    asked = []
    for benchmark in (GFN2, WB97X):
        model = listed("m", Constant(unknown=["H"]))
        calculate(model, benchmark, dataset, tmp_path)
        asked.append(model.model.asked)
    assert asked == [["high", "D3"], ["high"]]


def test_the_record_names_entry_checkpoint_and_level(dataset, tmp_path):
    checkpoint = tmp_path / "m.model"
    checkpoint.write_bytes(b"weights")
    entry = {"kwargs": {"model": str(checkpoint), "head": "omol"}, "level_of_theory": "ωB97M-V/def2-TZVPD"}
    calculate(listed("m", Constant(), **entry), GFN2, dataset, tmp_path / "outputs")
    result = measured(["m"], dataset, tmp_path / "outputs").results["m"]
    assert result.model.files["m.model"] == sha256_of(checkpoint)
    assert "entry in ml-peg's list" in result.model.files
    assert result.model.level_of_theory == "wB97M-V/def2-TZVPD"
    assert result.floor is not None
    table = table_of(measured(["m"], dataset, tmp_path / "outputs"), dataset.tasks)
    assert table[DISTANCE]["m"] == 1000 * result.floor.test_ood


@pytest.mark.parametrize("name", ["", ".", "..", "org/m", "a\\b"])
def test_a_name_that_is_no_folder_is_refused(dataset, tmp_path, name):
    kept = tmp_path / "kept"
    kept.mkdir()
    with pytest.raises(UsageError, match=re.escape(f"the model {name!r} of ml-peg's list cannot name the folder")):
        calculate(listed(name, Constant()), GFN2, dataset, tmp_path / "outputs")
    assert kept.is_dir()


def test_outputs_of_another_data_set_are_refused(outputs, own_dataset):
    (own_dataset / "task4" / "test_ood-00000-of-00001.parquet").write_bytes(
        (own_dataset / "task4" / "test_id-00000-of-00001.parquet").read_bytes()
    )
    other = open_dataset(str(own_dataset))
    with pytest.raises(DataError, match=rf"were made for .* and {DATASET_VARIABLE} names"):
        measured(["none"], other, outputs)


def test_outputs_that_are_no_run_are_refused(dataset, tmp_path):
    (tmp_path / "m").mkdir()
    with pytest.raises(DataError, match=r"holds 0 runs; .* Run `ml_peg calc` again"):
        measured(["m"], dataset, tmp_path)


def test_intervals_are_those_of_the_result(dataset, outputs):
    found = measured(["none"], dataset, outputs)
    for row in interval_rows(found):
        gap = found.results["none"].tasks[row["Task"][:5]].gap
        expected = f"{gap.value:.2f}" + ("" if gap.low is None else f" ({gap.low:.2f} to {gap.high:.2f})")
        assert row["Gap"] == expected
        assert json.loads(json.dumps(row)) == row
