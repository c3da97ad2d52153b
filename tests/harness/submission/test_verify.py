"""Sound entries pass; whatever is changed in one, however its hashes are made to fit, is found."""

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from harness.declaration import Statement
from harness.result import RunResult
from harness.submission import verify
from harness.submission.findings import EntryReport
from harness.submission.verify import verify_entry
from tests.harness.submission.forging import edit, evaluated, leaves, named_after_runs, put, reseal, run_of


@pytest.fixture
def checked(tiny_dataset: Path) -> Callable[[Path], EntryReport]:
    return lambda entry: verify_entry(entry, [str(tiny_dataset)])


def texts(report: EntryReport, kind: str) -> str:
    return "\n".join(finding.text for finding in report.findings if finding.kind == kind)


def refused(report: EntryReport, match: str) -> None:
    assert report.faults
    assert re.search(match, texts(report, "fault")), texts(report, "fault")


def other(value: Any) -> Any:
    """Another value of the same kind."""
    match value:
        case bool():
            return not value
        case int():
            return value + 1
        case float():
            return value * (1.0 + 1e-7) + 1e-9
        case str():
            return f"{value}x"
    return "x"


# What is sound


def test_a_sound_entry_is_told_apart_into_proved_and_stated(
    made: SimpleNamespace, checked: Callable[[Path], EntryReport]
) -> None:
    report = checked(made.entry)
    assert not report.faults
    proved, stated, look = (texts(report, kind) for kind in ("proved", "stated", "look"))
    assert re.search(r"all \d+ numbers and intervals follow from the predictions, to the last bit", proved)
    assert "the predictions carry the identity of the model, data, settings and packages" in proved
    assert "no structure failed, of 60 in the test splits of task1" in proved
    assert "mlip-ood.json names task1, from-scratch, no test molecule, and the training frames of this data" in proved
    assert "the predictions are those of m.model 9a129038d9a0, from org/toy" in stated
    assert "the predictions were made by the code of this version" in stated
    assert "is called by a path of somebody's machine" in look
    assert report.runs[0].result == made.run.result.model_copy(update={"created": report.runs[0].result.created})


def test_checking_changes_nothing(entry: Path, checked: Callable[[Path], EntryReport]) -> None:
    before = {path: path.read_bytes() for path in entry.rglob("*") if path.is_file()}
    checked(entry)
    assert {path: path.read_bytes() for path in entry.rglob("*") if path.is_file()} == before


# Numbers


def test_every_value_of_a_result_that_is_changed_alone_is_found(
    made: SimpleNamespace, entry: Path, checked: Callable[[Path], EntryReport], monkeypatch: pytest.MonkeyPatch
) -> None:
    # The predictions stay as they are, so what they give is computed once.
    (true,) = checked(entry).runs
    monkeypatch.setattr(verify, "_computed", lambda run, listed: true.result)
    path = run_of(entry) / "result.json"
    text = path.read_text(encoding="utf-8")
    places = [(keys, value) for keys, value in leaves(json.loads(text)) if keys != ("created",)]
    numbers = [place for place in places if isinstance(place[1], float | int)]
    assert len(numbers) > 150
    others = [place for place in places if place not in numbers]
    for keys, value in (*numbers, *others[::7]):
        edit(path, lambda document, keys=keys, value=value: put(document, keys, other(value)))
        reseal(entry)
        assert checked(entry).faults, keys
        path.write_text(text, encoding="utf-8")
    reseal(entry)
    assert not checked(entry).faults


@pytest.mark.parametrize(
    "keys", [("splits", "test_ood", "metrics", "force_mae", "high"), ("gap", "low"), ("train", "n_frames")]
)
def test_a_changed_number_is_named_beside_what_the_predictions_give(
    entry: Path, checked: Callable[[Path], EntryReport], keys: tuple[str, ...]
) -> None:
    path = run_of(entry) / "result.json"
    edit(
        path,
        lambda document: put(
            document, ("tasks", "task1", *keys), 7 if keys[-1] == "n_frames" else 1e-3 if keys[-1] == "low" else 9.0
        ),
    )
    reseal(entry)
    refused(checked(entry), rf"tasks\.task1\.{'.'.join(keys)} is [\d.]+; its predictions give [\d.]+")


def test_a_number_in_its_last_digits_is_that_of_another_processor(
    entry: Path, checked: Callable[[Path], EntryReport]
) -> None:
    def nudge(document: Any) -> None:
        number = document["tasks"]["task1"]["score"]
        number["value"] = float(np.nextafter(number["value"], 200.0))

    edit(run_of(entry) / "result.json", nudge)
    reseal(entry)
    report = checked(entry)
    assert not report.faults
    assert "follow from the predictions, within 1e-09 of themselves" in texts(report, "proved")
    assert re.search(r"1 of \d+ numbers differ in their last digits", texts(report, "look"))


def test_a_number_that_is_left_out_is_found(entry: Path, checked: Callable[[Path], EntryReport]) -> None:
    edit(run_of(entry) / "result.json", lambda document: document["tasks"]["task1"].update(by_pair=[]))
    reseal(entry)
    refused(checked(entry), r"tasks\.task1\.by_pair is \[")


def test_every_value_of_the_manifest_that_is_changed_alone_is_found(
    entry: Path, checked: Callable[[Path], EntryReport]
) -> None:
    path = run_of(entry) / "run.json"
    text = path.read_text(encoding="utf-8")
    for keys, value in leaves(json.loads(text)):
        if keys == ("dataset_directory",):  # which is not looked at
            continue
        edit(path, lambda document, keys=keys, value=value: put(document, keys, other(value)))
        reseal(entry)
        assert checked(entry).faults, keys
        path.write_text(text, encoding="utf-8")


BOTH = {
    "files": (("model", "files", "m.model"), "0" * 64, r"identity\.model_hash is"),
    "dtype": (("model", "dtype"), "float32", r"identity\.dtype is"),
    "device": (("model", "device"), "cuda:0", r"identity\.device is"),
    "protocol": (("model", "protocol"), "zero-shot", "protocol zero-shot, trained on task1: one of them is wrong"),
    "trained_on": (("model", "trained_on"), "task4", r"identity\.stated is|was tested on|tested on task1"),
    "level": (("model", "level_of_theory"), "GFN2-xTB", "level of theory: mlip-ood.json says MMFF94"),
    "base": (("model", "base"), "org/base", "only a fine-tuning begins with one"),
    "edition": (("dataset", "edition"), "standard", "edition of the data set is standard"),
    "content": (("dataset", "content_hash"), "0" * 64, "none of the data sets that count here"),
    "packages": (("environment", "packages", "numpy"), "1.0", r"identity\.packages is"),
    "code": (("environment", "code_hash"), "0" * 64, r"identity\.code_hash is"),
    "no version": (("environment", "packages", "numpy"), "", "the package numpy has no version"),
}


@pytest.mark.parametrize(("keys", "value", "match"), BOTH.values(), ids=BOTH)
def test_records_that_are_changed_together_contradict_the_identity_or_the_data(
    entry: Path, checked: Callable[[Path], EntryReport], keys: tuple[str, ...], value: str, match: str
) -> None:
    for name in ("run.json", "result.json"):
        edit(run_of(entry) / name, lambda document: put(document, keys, value))
    edit(run_of(entry) / "result.json", lambda document: put(document, ("levels_agree",), None))
    reseal(entry)
    refused(checked(entry), match)


def test_an_identity_that_is_changed_with_its_records_is_not_that_of_the_predictions(
    entry: Path, checked: Callable[[Path], EntryReport]
) -> None:
    run = run_of(entry)
    for name in ("run.json", "result.json"):
        edit(run / name, lambda document: put(document, ("model", "device"), "cuda:0"))
    edit(run / "run.json", lambda document: put(document, ("identity", "device"), "cuda"))
    reseal(entry)
    report = checked(entry)
    refused(report, "the folder is called .*; by its identity it is")
    refused(report, "are damaged, or were made by another model, data set or code")


def test_a_time_to_come_is_refused(entry: Path, checked: Callable[[Path], EntryReport]) -> None:
    edit(run_of(entry) / "result.json", lambda document: document.update(created="2999-01-01T00:00:00Z"))
    reseal(entry)
    refused(checked(entry), "created is 2999-01-01")


def test_other_code_is_looked_at(made: SimpleNamespace, checked: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.identity.code_hash", lambda family: "f" * 64)
    report = checked(made.entry)
    assert not report.faults
    assert re.search(
        r"made by other code \(\w{12}, mlip-ood [\d.]+\) than is installed here \(f{12}\)", texts(report, "look")
    )


# Predictions


def test_predictions_of_another_run_are_refused(
    made: SimpleNamespace, entry: Path, tiny_dataset: Path, tmp_path: Path, checked: Callable[[Path], EntryReport]
) -> None:
    checkpoint = tmp_path / "other.model"
    checkpoint.write_bytes(b"other weights")
    another = evaluated(checkpoint, None, tiny_dataset, tmp_path / "results", Statement("task1"))
    for path in (another.directory / "predictions").iterdir():
        shutil.copy(path, run_of(entry) / "predictions" / path.name)
    reseal(entry)
    refused(checked(entry), "are damaged, or were made by another model, data set or code")


@pytest.mark.parametrize("column", ["energy", "forces"])
def test_predictions_that_are_changed_are_refused(
    entry: Path, checked: Callable[[Path], EntryReport], column: str
) -> None:
    (path, *_) = (run_of(entry) / "predictions").iterdir()
    table = pq.read_table(path)
    values = table[column].to_pylist()
    values[0] = 0.5 * values[0] if column == "energy" else [0.5 * each for each in values[0]]
    number = table.schema.get_field_index(column)
    changed = table.set_column(number, table.schema.field(number), pa.array(values, table.schema.field(number).type))
    pq.write_table(changed, path)
    reseal(entry)
    refused(checked(entry), "are damaged, or were made by another")


def test_a_shard_cut_or_with_a_bit_flipped_is_refused_whether_or_not_it_is_sealed_again(
    entry: Path, checked: Callable[[Path], EntryReport]
) -> None:
    (path, *_) = sorted((run_of(entry) / "predictions").iterdir())
    content = path.read_bytes()
    (true,) = checked(entry).runs
    random = np.random.default_rng(0)
    spoilt = [content[:length] for length in (1, len(content) // 2, len(content) - 1)]
    for place in random.integers(len(content), size=40).tolist():
        spoilt.append(content[:place] + bytes([content[place] ^ 1 << int(random.integers(8))]) + content[place + 1 :])
    for each in spoilt:
        path.write_bytes(each)
        refused(checked(entry), "has the sha256|bytes; entry.json says")
        reseal(entry)
        report = checked(entry)
        # A bit of the file that no reader looks at leaves every prediction as it was.
        assert report.faults or report.runs[0].result.tasks == true.result.tasks
        path.write_bytes(content)
        reseal(entry)


@pytest.mark.parametrize("state", ["absent", "extra"])
def test_predictions_are_those_of_the_plan(entry: Path, checked: Callable[[Path], EntryReport], state: str) -> None:
    folder = run_of(entry) / "predictions"
    (path, *_) = sorted(folder.iterdir())
    shutil.copy(path, folder / f"{'0' * 16}.parquet")
    if state == "absent":
        path.unlink()
    reseal(entry)
    refused(checked(entry), "files of predictions are not the . of its tasks and batches")


def test_a_shard_that_would_grow_without_end_is_not_read(entry: Path, checked: Callable[[Path], EntryReport]) -> None:
    (path, *_) = sorted((run_of(entry) / "predictions").iterdir())
    table = pq.read_table(path)
    rows = 2_000_000
    many = {
        name: pa.array([table[name][0].as_py()] * rows, table.schema.field(name).type)
        for name in table.schema.names
        if name != "forces"
    }
    many["forces"] = pa.array([[]] * rows, table.schema.field("forces").type)
    pq.write_table(
        pa.table({name: many[name] for name in table.schema.names}, schema=table.schema), path, compression="zstd"
    )
    assert path.stat().st_size < 100_000
    reseal(entry)
    refused(checked(entry), "says that it holds 2000000 rows")


def test_a_structure_that_failed_is_refused_as_incomplete(
    made: SimpleNamespace, entry: Path, checked: Callable[[Path], EntryReport], monkeypatch: pytest.MonkeyPatch
) -> None:
    (run,) = checked(entry).runs
    failed = run.result.tasks["task1"].model_copy(update={"n_failed": 2})
    result = run.result.model_copy(update={"tasks": {"task1": failed}})
    monkeypatch.setattr(verify, "_computed", lambda run, listed: result)
    monkeypatch.setattr(verify, "_of_numbers", lambda run, computed: [])
    report = checked(entry)
    assert [fault.is_incomplete for fault in report.faults] == [True]
    refused(report, "2 structures failed")


# Files


def test_a_file_that_is_not_listed_is_refused(entry: Path, checked: Callable[[Path], EntryReport]) -> None:
    (run_of(entry) / "evil.py").write_text("import os")
    refused(checked(entry), r"holds files that it does not list: 1, first runs/\w{12}/evil.py")


@pytest.mark.parametrize("name", ["runs/zzz/x", ".git/config", "predictions", "runs/0/1/2/3/4/5/6"])
def test_nothing_else_stands_in_an_entry(entry: Path, checked: Callable[[Path], EntryReport], name: str) -> None:
    (entry / name).parent.mkdir(parents=True, exist_ok=True)
    (entry / name).write_text("x")
    refused(checked(entry), "does not list|deeper than")


def test_a_file_that_is_gone_is_refused(entry: Path, checked: Callable[[Path], EntryReport]) -> None:
    (run_of(entry) / "mlip-ood.json").unlink()
    refused(checked(entry), "lacks files that it lists: 1, first runs/.*mlip-ood.json")


@pytest.mark.parametrize("kind", ["file", "folder", "absolute", "pipe", "itself"])
def test_links_and_devices_are_refused(
    entry: Path, checked: Callable[[Path], EntryReport], tmp_path: Path, kind: str
) -> None:
    target = run_of(entry) / "result.json"
    copy = tmp_path / "result.json"
    shutil.copy(target, copy)
    if kind == "folder":
        shutil.copytree(target.parent / "predictions", tmp_path / "predictions")
        shutil.rmtree(target.parent / "predictions")
        (target.parent / "predictions").symlink_to(tmp_path / "predictions")
    elif kind == "itself":
        moved = entry.rename(tmp_path / "elsewhere")
        entry.symlink_to(moved)
    else:
        target.unlink()
        if kind == "pipe":
            os.mkfifo(target)
        else:
            target.symlink_to(copy if kind == "absolute" else os.path.relpath(copy, target.parent))
    refused(checked(entry), "is a symbolic link|is no plain file|is no folder, or a link to one")


@pytest.mark.parametrize("path", ["../../secret.parquet", "/etc/passwd", "..\\x.parquet", "a/b.parquet", "", "\x00"])
def test_a_name_that_leads_elsewhere_is_refused(entry: Path, checked: Callable[[Path], EntryReport], path: str) -> None:
    def change(document: Any) -> None:
        (run,) = document["runs"].values()
        run["predictions"][path] = next(iter(run["predictions"].values()))

    edit(entry / "entry.json", change)
    refused(checked(entry), "entry.json (is no document|holds the text)")


@pytest.mark.parametrize("run_id", ["../47d71af872c3", "x" * 12, "47D71AF872C3"])
def test_a_run_that_leads_elsewhere_is_refused(
    entry: Path, checked: Callable[[Path], EntryReport], run_id: str
) -> None:
    edit(entry / "entry.json", lambda document: document.update(runs={run_id: next(iter(document["runs"].values()))}))
    refused(checked(entry), "entry.json is no document of schema")


def test_a_file_larger_than_stated_is_not_read(entry: Path, checked: Callable[[Path], EntryReport]) -> None:
    with (run_of(entry) / "result.json").open("ab") as stream:
        stream.truncate(2**40)  # no block of it is on the disk
    refused(checked(entry), "result.json has 1,099,511,627,776 bytes; entry.json says")


def test_a_file_larger_than_any_can_be_is_refused_by_what_it_says(
    entry: Path, checked: Callable[[Path], EntryReport]
) -> None:
    (path,) = (run_of(entry) / "result.json",)
    with path.open("ab") as stream:
        stream.truncate(5 * 2**20)
    reseal(entry)
    refused(checked(entry), "result.json has 5,242,880 bytes; expected 4,194,304 at most")


def test_a_document_of_any_length_is_not_read(entry: Path, checked: Callable[[Path], EntryReport]) -> None:
    with (entry / "entry.json").open("ab") as stream:
        stream.truncate(2**40)
    refused(checked(entry), "entry.json is larger than 4,194,304 bytes, so it is not read")


NULL = '"overall_score": null'
PROTOCOL = '"protocol": "from-scratch"'
IN_TEXT = {
    "key twice": ("result.json", NULL, f"{NULL}, {NULL}", "the key overall_score stands there twice"),
    "nan": ("result.json", NULL, '"overall_score": NaN', "it holds NaN, which is no number"),
    "infinity": ("result.json", NULL, '"overall_score": -Infinity', "it holds -Infinity"),
    "overflow": ("result.json", NULL, '"overall_score": 1e999', "it holds 1e999, which no float64"),
    "deep": ("result.json", NULL, '"overall_score": ' + "[" * 100_000, "cannot be read"),
    "long": ("result.json", NULL, '"overall_score": ' + "9" * 10_000, "cannot be read"),
    "extra": ("result.json", NULL, f'{NULL}, "verdict": "good"', "Extra inputs are not permitted"),
    "old": ("result.json", '"schema_version": "1.0"', '"schema_version": "0.9"', "has schema version '0.9'"),
    "new": ("run.json", '"version": "1.0"', '"version": "2.0"', "run.json is damaged or of another version"),
    "large": ("run.json", '"batch_atoms": 512', '"batch_atoms": 1' + "0" * 22, "batch_atoms is an integer of 74 bits"),
    "task twice": ("run.json", '"task1"\n', '"task1", "task1"\n', "tasks are task1 task1; expected one or more"),
    "terminal": ("result.json", '"m.model"', '"m.\\u001b[31mmodel"', "holds the text .*control characters"),
    "direction": ("result.json", '"m.model"', '"m.\\u202emodel"', "holds the text .*control characters"),
    "lines": ("result.json", '"m.model"', '"m.\\nmodel"', "holds the text .*a line break"),
    "record": ("mlip-ood.json", PROTOCOL, f"{PROTOCOL}, {PROTOCOL}", "the key protocol stands there twice"),
}


@pytest.mark.parametrize(("name", "old", "new", "match"), IN_TEXT.values(), ids=IN_TEXT)
def test_json_that_readers_could_take_for_two_things_is_refused(
    entry: Path, checked: Callable[[Path], EntryReport], name: str, old: str, new: str, match: str
) -> None:
    path = run_of(entry) / name
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    reseal(entry)
    refused(checked(entry), match)


def test_the_document_itself_is_read_strictly(entry: Path, checked: Callable[[Path], EntryReport]) -> None:
    path = entry / "entry.json"
    path.write_text(path.read_text().replace('"name"', '"name": "other", "name"', 1))
    refused(checked(entry), "entry.json cannot be read: the key name stands there twice")


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"[]", b"{}", b"null", b'{"schema": "mlip-ood-entry/2"}'])
def test_what_is_no_document_is_refused(entry: Path, checked: Callable[[Path], EntryReport], content: bytes) -> None:
    (entry / "entry.json").write_bytes(content)
    refused(checked(entry), "entry.json (cannot be read|is no document)")


def test_a_folder_called_otherwise_is_refused(entry: Path, checked: Callable[[Path], EntryReport]) -> None:
    refused(checked(entry.rename(entry.with_name("better-name"))), "by its name and its runs it is toy-")


def test_another_name_in_the_document_is_another_folder(entry: Path, checked: Callable[[Path], EntryReport]) -> None:
    edit(entry / "entry.json", lambda document: document.update(name="state-of-the-art"))
    refused(checked(entry), "by its name and its runs it is state-of-the-art-")


@pytest.mark.parametrize("name", ["", "-x", "X", "a b", "a/b", "..", "a" * 61, "a\n", "<b>"])
def test_names_are_plain(entry: Path, checked: Callable[[Path], EntryReport], name: str) -> None:
    edit(entry / "entry.json", lambda document: document.update(name=name))
    refused(checked(entry), "entry.json (is no document|holds the text)")


def test_a_run_renamed_with_its_entry_is_not_of_its_identity(
    entry: Path, checked: Callable[[Path], EntryReport]
) -> None:
    run = run_of(entry)
    run.rename(run.with_name("0" * 12))
    refused(checked(named_after_runs(entry)), "the folder is called 0{12}; by its identity it is")


# Data sets


def test_what_an_entry_calls_its_data_set_is_never_opened(entry: Path, tiny_dataset: Path, tmp_path: Path) -> None:
    report = verify_entry(entry, ["mini"])
    refused(report, r"which is none of the data sets that count here: mini has b45b3000b68f")


def test_one_of_several_data_sets_is_enough(made: SimpleNamespace, tiny_dataset: Path) -> None:
    assert not verify_entry(made.entry, ["mini", str(tiny_dataset)]).faults


# The training


def test_another_declaration_than_the_model_was_read_with_is_refused(
    entry: Path, checked: Callable[[Path], EntryReport]
) -> None:
    edit(run_of(entry) / "mlip-ood.json", lambda document: document.update(molecules=document["molecules"][:2]))
    reseal(entry)
    refused(checked(entry), "mlip-ood.json has the sha256 .*; the model was read with one of")


def test_a_model_read_with_a_declaration_needs_it(entry: Path, checked: Callable[[Path], EntryReport]) -> None:
    (run_of(entry) / "mlip-ood.json").unlink()
    reseal(entry)
    refused(checked(entry), "the model was read with 1 mlip-ood.json, but the entry holds none")


def test_a_trained_model_that_calls_itself_a_control_is_refused(
    entry: Path, checked: Callable[[Path], EntryReport]
) -> None:
    for name in ("run.json", "result.json"):
        for keys, value in {"protocol": "control", "trained_on": None, "training": None}.items():
            edit(run_of(entry) / name, lambda document, keys=keys, value=value: put(document, ("model", keys), value))
    reseal(entry)
    refused(checked(entry), "m.model is no control")


def test_a_training_that_the_command_line_states_is_looked_at(
    tiny_dataset: Path, made: SimpleNamespace, tmp_path: Path, checked: Callable[[Path], EntryReport]
) -> None:
    from harness.submission.write import EntryOptions, write_entry

    run = evaluated(made.checkpoint, None, tiny_dataset, tmp_path, Statement("task1"))
    options = EntryOptions(name="toy", datasets=(str(tiny_dataset),))
    report = checked(write_entry([run.directory], tmp_path / "entries", options).directory)
    assert not report.faults
    assert "from-scratch on task1, on the command line alone: no file says which frames" in texts(report, "look")
    assert "nothing says where the checkpoint (m.model 9a129038d9a0) can be had" in texts(report, "look")


def test_the_result_in_an_entry_is_one_that_other_commands_read(made: SimpleNamespace) -> None:
    assert RunResult.load(run_of(made.entry) / "result.json") == made.run.result
