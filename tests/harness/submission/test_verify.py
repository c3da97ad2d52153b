"""Sound entries pass; whatever is changed in one, however its hashes are made to fit, is found."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from harness.inference.shards import _METADATA_KEY, SHARD_SCHEMA, _content_digest
from harness.models.training_declaration import Statement
from harness.results.result import RunResult
from harness.submission import verify
from harness.submission.findings import EntryReport
from harness.submission.verify import verify_entry
from harness.submission.write import write_entry
from tests.harness.submission.forging import (
    edit,
    evaluated,
    leaves,
    put,
    refused,
    reseal,
    run_of,
    texts,
)


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
    assert re.search(r"all \d+ numbers and intervals are reproduced from the predictions, to the last bit", proved)
    assert "the predictions carry the identity of the named model, data, settings and packages" in proved
    assert "no structure failed, of 60 in the test splits of task1" in proved
    assert "mlip-ood.json names task1, from-scratch, no test molecule, and the training frames of this data" in proved
    assert "the predictions are attributed to m.model 9a129038d9a0, from org/toy" in stated
    assert "the predictions were made with the code of this version" in stated
    assert "is named by a path on a local machine" in look
    assert report.runs[0].result == made.run.result.model_copy(update={"created": report.runs[0].result.created})


def test_what_a_lower_precision_changes_is_stated(
    made: SimpleNamespace, tiny_dataset: Path, tmp_path: Path, checked: Callable[[Path], EntryReport]
) -> None:
    run = evaluated(
        made.checkpoint, made.record, tiny_dataset, tmp_path / "results", dtype="float32", saved_dtype="float64"
    )
    written = write_entry([run.directory], tmp_path / "entries", made.options)
    report = checked(written.directory)
    assert not report.faults
    reason = "the family toy computes in float32 only"
    assert f"float32 not compared with float64 of the checkpoint: {reason}" in texts(report, "stated")


def test_checking_changes_nothing(entry: Path, checked: Callable[[Path], EntryReport]) -> None:
    before = {path: path.read_bytes() for path in entry.rglob("*") if path.is_file()}
    checked(entry)
    assert {path: path.read_bytes() for path in entry.rglob("*") if path.is_file()} == before


# Numbers


@pytest.mark.parametrize("step", [8, pytest.param(1, marks=pytest.mark.slow)])
def test_every_value_of_a_result_that_is_changed_alone_is_found(
    step: int,
    made: SimpleNamespace,
    entry: Path,
    checked: Callable[[Path], EntryReport],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every eighth value by default."""
    # The predictions stay as they are, so what they give is computed once.
    (true,) = checked(entry).runs
    monkeypatch.setattr(verify, "_computed", lambda run, listed: true.result)
    path = run_of(entry) / "result.json"
    text = path.read_text(encoding="utf-8")
    places = [(keys, value) for keys, value in leaves(json.loads(text)) if keys[0] not in ("created", "cost")]
    numbers = [place for place in places if isinstance(place[1], float | int)]
    assert len(numbers) > 150
    others = [place for place in places if place not in numbers]
    for keys, value in (*numbers[::step], *others[:: 7 * step]):
        edit(path, lambda document, keys=keys, value=value: put(document, keys, other(value)))
        reseal(entry)
        assert checked(entry).faults, keys
        path.write_text(text, encoding="utf-8")
    reseal(entry)
    assert not checked(entry).faults


@pytest.mark.parametrize(
    "keys",
    [("splits", "test_ood", "metrics", "force_mae", "value"), ("energy_gap", "value"), ("train", "n_frames")],
)
def test_a_changed_number_is_named_beside_what_the_predictions_give(
    entry: Path, checked: Callable[[Path], EntryReport], keys: tuple[str, ...]
) -> None:
    path = run_of(entry) / "result.json"
    edit(
        path,
        lambda document: put(document, ("tasks", "task1", *keys), 7 if keys[-1] == "n_frames" else 9.0),
    )
    reseal(entry)
    refused(checked(entry), rf"tasks\.task1\.{'.'.join(keys)} is [\d.]+; its predictions give [\d.]+")


def test_a_changed_gap_contradicts_its_factors(entry: Path, checked: Callable[[Path], EntryReport]) -> None:
    edit(run_of(entry) / "result.json", lambda document: put(document, ("tasks", "task1", "gap", "value"), 9.0))
    reseal(entry)
    refused(checked(entry), r"the gap of task1 is 9\.0, and its factors give [\d.]+")


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
    assert "are reproduced from the predictions, with relative differences of at most 1e-09" in texts(report, "proved")
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
    "protocol": (
        ("model", "protocol"),
        "zero-shot",
        "protocol zero-shot, trained on task1: these contradict each other",
    ),
    "trained_on": (("model", "trained_on"), "task4", r"identity\.stated is|was tested on|tested on task1"),
    "level": (("model", "level_of_theory"), "GFN2-xTB", "level of theory: mlip-ood.json states MMFF94"),
    "base": (("model", "base"), "org/base", "only a fine-tuned model has a base"),
    "edition": (("dataset", "edition"), "standard", "edition of the data set is standard"),
    "content": (("dataset", "content_hash"), "0" * 64, "not one of the accepted data sets"),
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
    refused(report, "the folder is named .*; from its identity, it should be")
    refused(report, "are damaged, or belong to another model, data set or code")


def test_a_time_to_come_is_refused(entry: Path, checked: Callable[[Path], EntryReport]) -> None:
    edit(run_of(entry) / "result.json", lambda document: document.update(created="2999-01-01T00:00:00Z"))
    reseal(entry)
    refused(checked(entry), "created is 2999-01-01")


def test_other_code_is_looked_at(made: SimpleNamespace, checked: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.results.identity.code_hash", lambda family: "f" * 64)
    report = checked(made.entry)
    assert not report.faults
    assert re.search(
        r"made with other code \(\w{12}, mlip-ood [\d.]+\) than is installed here \(f{12}\)", texts(report, "look")
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
    refused(checked(entry), "are damaged, or belong to another model, data set or code")


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
    refused(checked(entry), "are damaged, or belong to another")


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
        refused(checked(entry), "has the sha256|bytes; entry.json states")
        reseal(entry)
        report = checked(entry)
        # A bit of the file that no reader looks at leaves every prediction as it was.
        assert report.faults or report.runs[0].result.tasks == true.result.tasks
        path.write_bytes(content)
        reseal(entry)


def forged(path: Path, change: Callable[[Any, Any], None]) -> None:
    """Writes other predictions as the harness would have: with the digest of their content."""
    table = pq.read_table(path)
    energy = table["energy"].to_numpy().copy()
    lengths = pc.list_value_length(table["forces"]).to_numpy()
    forces = pc.list_flatten(table["forces"]).to_numpy().copy()
    change(energy, forces)
    metadata = json.loads(table.schema.metadata[_METADATA_KEY])
    metadata["content"] = _content_digest(energy, forces.reshape(-1, 3), table["failure"].to_pylist())
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    columns = {name: table[name] for name in table.schema.names}
    columns |= {"energy": pa.array(energy), "forces": pa.ListArray.from_arrays(offsets, forces)}
    schema = SHARD_SCHEMA.with_metadata({_METADATA_KEY: json.dumps(metadata, sort_keys=True)})
    pq.write_table(pa.table(columns, schema=schema), path)


def test_predictions_forged_with_their_digest_give_other_numbers_than_stated(
    entry: Path, checked: Callable[[Path], EntryReport]
) -> None:
    def better(energy: Any, forces: Any) -> None:
        forces *= 0.5

    (path, *_) = (run_of(entry) / "predictions").iterdir()
    forged(path, better)
    reseal(entry)
    refused(checked(entry), r"tasks\.task1\.splits\.test_id\.metrics\.force_mae\.value is .*; its predictions give")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_predictions_that_are_no_numbers_are_refused(
    entry: Path, checked: Callable[[Path], EntryReport], value: float
) -> None:
    def spoilt(energy: Any, forces: Any) -> None:
        energy[0] = value

    (path, *_) = (run_of(entry) / "predictions").iterdir()
    forged(path, spoilt)
    reseal(entry)
    refused(checked(entry), "not finite|finite")


@pytest.mark.parametrize("state", ["absent", "extra"])
def test_predictions_are_those_of_the_plan(entry: Path, checked: Callable[[Path], EntryReport], state: str) -> None:
    folder = run_of(entry) / "predictions"
    (path, *_) = sorted(folder.iterdir())
    shutil.copy(path, folder / f"{'0' * 16}.parquet")
    if state == "absent":
        path.unlink()
    reseal(entry)
    refused(checked(entry), "prediction files are not the . of its tasks and batches")


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
    refused(checked(entry), "declares 2000000 rows")


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


# Data sets


def test_what_an_entry_calls_its_data_set_is_never_opened(entry: Path, tiny_dataset: Path, tmp_path: Path) -> None:
    report = verify_entry(entry, ["mini"])
    refused(report, r"which is not one of the accepted data sets: mini has 3e09dcfc984d")


def test_one_of_several_data_sets_is_enough(made: SimpleNamespace, tiny_dataset: Path) -> None:
    assert not verify_entry(made.entry, ["mini", str(tiny_dataset)]).faults


# The training


def test_another_declaration_than_the_model_was_read_with_is_refused(
    entry: Path, checked: Callable[[Path], EntryReport]
) -> None:
    edit(run_of(entry) / "mlip-ood.json", lambda document: document.update(molecules=document["molecules"][:2]))
    reseal(entry)
    refused(checked(entry), "mlip-ood.json has the sha256 .*; the model was loaded with one of")


def test_a_model_read_with_a_declaration_needs_it(entry: Path, checked: Callable[[Path], EntryReport]) -> None:
    (run_of(entry) / "mlip-ood.json").unlink()
    reseal(entry)
    refused(checked(entry), "the model was loaded with 1 mlip-ood.json, but the entry contains none")


def test_a_trained_model_that_calls_itself_a_control_is_refused(
    entry: Path, checked: Callable[[Path], EntryReport]
) -> None:
    for name in ("run.json", "result.json"):
        for keys, value in {"protocol": "control", "trained_on": None, "training": None}.items():
            edit(run_of(entry) / name, lambda document, keys=keys, value=value: put(document, ("model", keys), value))
    reseal(entry)
    refused(checked(entry), "m.model is not a control")


def test_a_training_that_the_command_line_states_is_looked_at(
    tiny_dataset: Path, made: SimpleNamespace, tmp_path: Path, checked: Callable[[Path], EntryReport]
) -> None:
    from harness.submission.write import EntryOptions, write_entry

    run = evaluated(made.checkpoint, None, tiny_dataset, tmp_path, Statement("task1"))
    options = EntryOptions(name="toy", datasets=(str(tiny_dataset),))
    report = checked(write_entry([run.directory], tmp_path / "entries", options).directory)
    assert not report.faults
    assert "from-scratch on task1, on the command line only: no file states which frames" in texts(report, "look")
    assert "the entry does not state where the checkpoint (m.model 9a129038d9a0) is available" in texts(report, "look")


def test_the_result_in_an_entry_is_one_that_other_commands_read(made: SimpleNamespace) -> None:
    assert RunResult.load(run_of(made.entry) / "result.json") == made.run.result
