"""The folder of an export as a whole: what is in it, that it repeats, and what is refused."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dataset_builders.chemistry.levels import LEVELS
from dataset_builders.cli import main as builders
from dataset_builders.core.errors import DataError, SetupError, UsageError
from dataset_builders.core.sole_user import sole_user
from dataset_builders.folder.mini import MINI_DIRECTORY
from dataset_builders.folder.schema import with_metadata
from dataset_builders.tasks.task_document import parse_task, task_metadata
from harness.core.training_record import read_training_record
from harness.train.task_data import pin_training_files
from tests.harness.export.exporting import contents, export, pinned
from tests.harness.training_set import file_of, write_training_set

PBE = LEVELS["pbe-d3bj"]
FORMATS = ["extxyz", "ase-db", "npz", "lmdb"]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_training_set(tmp_path_factory.mktemp("dataset") / "toy")


@pytest.mark.parametrize("form", FORMATS)
def test_a_repeated_export_is_the_same_bytes_anywhere(
    dataset: Path, tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if form == "lmdb":
        pytest.importorskip("ase_db_backends")
    first = contents(export(dataset, tmp_path / "one", form))
    monkeypatch.setenv("USER", "somebody else")
    for module in ("ase.db.core", "ase.db.sqlite"):
        monkeypatch.setattr(f"{module}.now", lambda: 1234.5)
    again = contents(export(dataset, tmp_path / "one", form))
    elsewhere = contents(export(dataset, tmp_path / "far" / "away", form))
    assert first == again == elsewhere
    assert {path.name for path in tmp_path.iterdir()} == {"one", "far"}  # no lock and no remains


def test_the_record_tells_data_task_level_splits_and_molecules(dataset: Path, tmp_path: Path) -> None:
    record = read_training_record(export(dataset, tmp_path / "out", "npz") / "mlip-ood.json")
    assert (record.protocol, record.base, record.config) == ("from-scratch", None, "task2")
    assert (record.level_of_theory, record.dataset.id, record.dataset.edition) == ("MMFF94", "toy", "toy")
    assert record.dataset.content_hash == pinned(dataset).content_hash
    assert {split: (size.n_frames, size.n_molecules) for split, size in record.splits.items()} == {
        "train": (16, 2),
        "validation": (8, 2),
    }
    assert record.molecules == ("H-2-H", "OH-2-H")
    assert record.test_splits == ()


def test_the_command_of_the_builders_on_another_level(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    metadata = {"edition": "toy", "level_of_theory": {"method": "wB97X/6-31G(d)"}}
    relabelled(dataset, tmp_path / "dft", "task2-wb97x", metadata)
    out = tmp_path / "out"
    options = ["--task", "task2", "--labels", "wb97x", "--format", "extxyz", "--out", str(out)]
    assert builders(["export", str(tmp_path / "dft"), *options]) == 0
    assert "task2-wb97x of dft, wB97X/6-31G(d)" in capsys.readouterr().out
    record = read_training_record(out / "mlip-ood.json")
    assert (record.config, record.level_of_theory, record.dataset.id) == ("task2-wb97x", "wB97X/6-31G(d)", "dft")
    energies = json.loads((out / "reference_energies.json").read_text())
    assert energies["isolated_atoms"]["H"] == -13.58733


def relabelled(dataset: Path, folder: Path, config: str, metadata: dict[str, Any]) -> Path:
    """The data set under another name of its configuration, with other metadata."""
    (folder / config).mkdir(parents=True)
    for split in ("train", "validation"):
        table = pq.read_table(file_of(dataset, split)).replace_schema_metadata(with_metadata(metadata).metadata)
        pq.write_table(table, folder / config / file_of(dataset, split).name)
    return folder


def test_a_task_of_your_own_is_declared_in_the_record(dataset: Path, tmp_path: Path) -> None:
    declaration = {
        "name": "ends",
        "title": "Ends",
        "tests": "systematicity",
        "train": [{"left": ["OH", "H"], "spacers": [2], "right": "H"}],
        "ood": [{"left": ["OH", "SH"], "spacers": [3], "right": "other"}],
    }
    task = parse_task(declaration, "here")
    metadata = {"edition": "toy", "level_of_theory": {"method": "MMFF94"}, **task_metadata(task)}
    own = relabelled(dataset, tmp_path / "own", "ends", metadata)
    record = read_training_record(export(own, tmp_path / "out", "npz", task="ends") / "mlip-ood.json")
    assert (record.config, record.declared_task()) == ("ends", task)


@pytest.mark.parametrize(
    ("edition", "config", "options", "message"),
    [
        ("to\x1b[2Jy", "task2", (), "cannot be recorded: edition = "),
        ("toy", "task2-wb97x", ("--labels", "wb97x"), r"suffix wb97x belongs to wB97X/6-31G\(d\), not to MMFF94"),
    ],
)
def test_what_cannot_be_recorded_is_not_exported(
    dataset: Path, tmp_path: Path, edition: str, config: str, options: tuple[str, ...], message: str
) -> None:
    odd = relabelled(dataset, tmp_path / "odd", config, {"edition": edition, "level_of_theory": {"method": "MMFF94"}})
    with pytest.raises(DataError, match=message):
        export(odd, tmp_path / "out", "npz", *options)
    assert not (tmp_path / "out").exists()


def test_the_working_folder_itself(dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    export(dataset, Path(), "npz")
    assert (tmp_path / "here" / "train.npz").exists()


def test_a_level_that_was_labelled_for_tests_alone_is_not_for_training(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="task2-wb97x has no frames of validation, as its files state"):
        export("mini", tmp_path / "out", "npz", "--labels", "wb97x")


def test_of_such_a_level_the_split_that_it_has_can_be_exported(tmp_path: Path) -> None:
    out = export("mini", tmp_path / "out", "npz", "--labels", "pbe-d3bj", "--split", "train")
    assert [path.name for path in out.glob("*.npz")] == ["train.npz"]
    record = read_training_record(out / "mlip-ood.json")
    assert record.dataset.content_hash == pin_training_files(MINI_DIRECTORY, "task2", PBE, ["train"]).content_hash
    with pytest.raises(DataError, match="task2-pbe has no frames of validation, as its files state"):
        export("mini", tmp_path / "both", "npz", "--labels", "pbe-d3bj", "--split", "train", "validation")


def test_help_of_the_builders_names_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        builders(["--help"])
    assert "export" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        builders(["export", "--help"])
    assert "python -m dataset_builders export" in capsys.readouterr().out


def test_the_command_line_as_a_process(dataset: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "dataset_builders", "export", str(dataset), "--task", "task2"]
    ended = subprocess.run(
        [*command, "--format", "npz", "--out", "out"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert (tmp_path / "out" / "train.npz").exists()
    ended = subprocess.run(
        [*command[:-1], "task9", "--format", "npz", "--out", "out"], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2
    assert "unknown task 'task9'" in ended.stderr


def test_a_test_split_is_exported_by_name_only_and_says_what_that_means(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = export("mini", tmp_path / "out", "npz", "--split", "train", "test_ood", "validation", task="task3")
    printed = capsys.readouterr().out
    for text in (printed, (out / "TRAINING.md").read_text()):
        assert "can never be evaluated on task3" in text
    assert sorted(path.name for path in out.glob("*.npz")) == ["test_ood.npz", "train.npz", "validation.npz"]
    record = read_training_record(out / "mlip-ood.json")
    assert record.test_splits == ("test_ood",)
    assert record.splits["test_ood"].n_molecules == 30
    assert "CHO-2-CN" in record.molecules
    # The hash stays that of the files of training, which names the data whatever is exported of them.
    assert record.dataset.content_hash == pin_training_files(MINI_DIRECTORY, "task3").content_hash


def test_a_test_split_alone_still_has_the_energies_of_train(tmp_path: Path) -> None:
    alone = export("mini", tmp_path / "alone", "npz", "--split", "test_id", task="task3")
    whole = export("mini", tmp_path / "whole", "npz", task="task3")
    assert (alone / "reference_energies.json").read_text() == (whole / "reference_energies.json").read_text()
    assert "No recipes" in (alone / "TRAINING.md").read_text()
    assert not (alone / "train.npz").exists()


@pytest.mark.parametrize(
    ("dataset_id", "options", "error", "message"),
    [
        ("hf://datasets/org/data@v1", (), UsageError, "use org/data@v1, which downloads"),
        ("nowhere", (), DataError, "there is no data-set folder 'nowhere'"),
        ("mini", ("--task", "task7"), UsageError, "unknown task 'task7'"),
        ("mini", ("--labels", "wb97m-d3bj"), DataError, "task3-wb97m"),
    ],
)
def test_what_cannot_be_exported(
    tmp_path: Path, dataset_id: str, options: tuple[str, ...], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        export(dataset_id, tmp_path / "out", "npz", *options, task="task3")
    assert not (tmp_path / "out").exists()


def test_a_folder_that_holds_anything_else_is_left_alone(dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.tex").write_text("years of work")
    with pytest.raises(
        UsageError, match=r"contains thesis.tex, which an export to npz does not write and would delete"
    ):
        export(dataset, out, "npz")
    assert contents(out) == {"thesis.tex": b"years of work"}


def test_what_trainers_left_in_an_export_is_not_deleted(dataset: Path, tmp_path: Path) -> None:
    out = export(dataset, tmp_path / "out", "extxyz")
    (out / "runs" / "mace").mkdir(parents=True)
    (out / "runs" / "mace" / "mace.model").write_bytes(b"weights")
    before = contents(out)
    with pytest.raises(UsageError, match=r"contains runs, runs/mace, runs/mace/mace.model"):
        export(dataset, out, "extxyz")
    assert contents(out) == before


def test_another_format_task_or_data_set_does_not_take_the_place(dataset: Path, tmp_path: Path) -> None:
    out = export(dataset, tmp_path / "out", "npz")
    before = contents(out)
    with pytest.raises(UsageError, match=r"contains train.npz, validation.npz, which an export to extxyz"):
        export(dataset, out, "extxyz")
    with pytest.raises(UsageError, match=r"is the export of task2 of toy, which task3 of mini would replace"):
        export("mini", out, "npz", task="task3")
    (out / "mlip-ood.json").write_text("{}")
    with pytest.raises(UsageError, match="is not an export"):
        export(dataset, out, "npz")
    (out / "mlip-ood.json").write_bytes(before["mlip-ood.json"])
    assert contents(out) == before


def test_a_file_in_place_of_the_folder(dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(UsageError, match="is a file; expected a folder"):
        export(dataset, tmp_path / "out", "npz")


@pytest.mark.parametrize("form", FORMATS)
def test_corrupt_data_leave_nothing_and_an_earlier_export_as_it_was(dataset: Path, tmp_path: Path, form: str) -> None:
    """The file breaks in the second split, when the first one is written."""
    if form == "lmdb":
        pytest.importorskip("ase_db_backends")
    broken = shutil.copytree(dataset, tmp_path / "broken" / "toy")
    out = export(dataset, tmp_path / "out", form)
    before = contents(out)
    table = pq.read_table(file_of(broken, "validation"))
    twice = pa.concat_tables([table, table.slice(0, 1)])
    pq.write_table(twice, file_of(broken, "validation"))
    for place in (out, tmp_path / "new"):
        with pytest.raises(
            DataError, match=r"validation of task2 in toy contains secondary frame 0 of OH-2-H more than"
        ):
            export(broken, place, form)
    assert contents(out) == before
    assert {path.name for path in tmp_path.iterdir()} == {"broken", "out"}


def test_two_exports_do_not_write_one_folder(dataset: Path, tmp_path: Path) -> None:
    with (
        sole_user(tmp_path, "export", "wait", ".out.export.lock"),
        pytest.raises(SetupError, match="choose another --out"),
    ):
        export(dataset, tmp_path / "out", "npz")


def test_memory_does_not_grow_with_the_split(dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No writer holds more than one piece of a split at a time."""
    import gc
    import weakref

    from harness.data.rows import SplitRows
    from harness.export import export_folder as folder

    monkeypatch.setattr("harness.data.rows.ROWS_PER_BATCH", 2)
    alive: list[weakref.ref[object]] = []
    most = 0
    stream = folder.stream

    def counted(*arguments: object) -> object:
        nonlocal most
        # The collections below look at what this split leaves, and not at all modules again.
        gc.collect()
        gc.freeze()
        for rows in stream(*arguments):  # type: ignore[arg-type]
            assert isinstance(rows, SplitRows)
            positions = rows.positions.base if rows.positions.base is not None else rows.positions
            alive.append(weakref.ref(positions))
            yield rows
            del rows, positions
            gc.collect()
            most = max(most, sum(each() is not None for each in alive))

    monkeypatch.setattr(folder, "stream", counted)
    for form in FORMATS:
        if form == "lmdb":
            pytest.importorskip("ase_db_backends")
        export(dataset, tmp_path / form, form)
    assert len(alive) == 12 * len(FORMATS)
    assert most <= 3
