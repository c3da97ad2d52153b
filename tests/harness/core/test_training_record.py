import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset_builders.chemistry.levels import LEVELS
from dataset_builders.core.errors import DataError, SetupError
from dataset_builders.tasks.task_document import declaration_of, parse_task
from harness.core.training_record import (
    MAX_BYTES,
    RECORD_SCHEMA,
    TrainingRecord,
    parse_training_record,
    read_training_record,
    record_place,
    write_training_record,
)

DECLARATION = {
    "name": "ends",
    "title": "Ends",
    "tests": "systematicity",
    "train": [{"left": ["OH"], "spacers": [2], "right": "H"}],
    "ood": [{"left": ["OH", "SH"], "spacers": [3], "right": "other"}],
}


def document(**changes: Any) -> dict[str, Any]:
    return {
        "schema": RECORD_SCHEMA,
        "protocol": "from-scratch",
        "base": None,
        "task": "task3",
        "task_declaration": None,
        "level_of_theory": "GFN2-xTB",
        "suffix": "",
        "dataset": {"id": "mini", "revision": None, "edition": "mini", "content_hash": "0123456789abcdef" * 4},
        "splits": {
            "train": {"n_frames": 50, "n_molecules": 2},
            "validation": {"n_frames": 10, "n_molecules": 2},
        },
        "molecules": ["CHO-2-H", "OH-2-H"],
        **changes,
    }


def parsed(**changes: Any) -> TrainingRecord:
    return parse_training_record(json.dumps(document(**changes)).encode(), "model/mlip-ood.json")


def test_a_record_reads_as_it_was_written(tmp_path: Path) -> None:
    record = parsed()
    write_training_record(tmp_path / "mlip-ood.json", record)
    assert read_training_record(tmp_path / "mlip-ood.json") == record
    assert json.loads((tmp_path / "mlip-ood.json").read_text()) == document()
    assert (record.config, record.test_splits, record.declared_task().name) == ("task3", (), "task3")


def test_a_task_of_your_own_carries_its_declaration() -> None:
    declaration = declaration_of(parse_task(DECLARATION, "here"))
    record = parsed(task="ends", task_declaration=declaration, suffix="pbe", level_of_theory="PBE-D3(BJ)/def2-TZVP")
    assert record.config == "ends-pbe"
    assert record.declared_task() == parse_task(DECLARATION, "here")
    assert parse_training_record(record.text().encode(), "here") == record


def test_test_splits_are_reported() -> None:
    size = {"n_frames": 4, "n_molecules": 1}
    assert parsed(splits={"train": size, "test_ood": size, "test_id": size}).test_splits == ("test_id", "test_ood")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema": "mlip-ood-training/2"}, "schema = 'mlip-ood-training/2'"),
        ({"protocol": "zero-shot"}, "protocol = 'zero-shot'"),
        ({"protocol": "fine-tuned"}, "fine-tuned with base None; expected from-scratch with null"),
        ({"base": "org/model"}, "from-scratch with base 'org/model'"),
        ({"protocol": "fine-tuned", "base": "\u001b[2J"}, "base = "),
        ({"task": "../up"}, "task = '../up'"),
        ({"task": "ends"}, "declaration of no task"),
        ({"task_declaration": DECLARATION}, "task3 with a declaration of ends"),
        ({"task": "ends", "task_declaration": {**DECLARATION, "train": []}}, "task_declaration.train"),
        (
            {
                "task": "ends",
                "task_declaration": {**DECLARATION, "train": [{"left": ["XX"], "spacers": [2], "right": "H"}]},
            },
            "XX",
        ),
        ({"suffix": "b3lyp"}, "suffix = 'b3lyp'"),
        (
            {"suffix": "pbe"},
            f"suffix pbe belongs to {LEVELS['pbe-d3bj'].method}".replace("(", r"\(").replace(")", r"\)"),
        ),
        ({"dataset": {**document()["dataset"], "content_hash": "abc"}}, "dataset.content_hash = 'abc'"),
        ({"splits": {}}, "splits"),
        ({"splits": {"holdout": {"n_frames": 1, "n_molecules": 1}}}, "splits.holdout"),
        ({"splits": {"train": {"n_frames": 1, "n_molecules": 2}}}, "1 frames cannot belong to 2 molecules"),
        ({"splits": {"train": {"n_frames": True, "n_molecules": 1}}}, "splits.train.n_frames = 'True'"),
        ({"splits": {"train": {"n_frames": 9, "n_molecules": 3}}}, "a split has 3 molecules, but the record names 2"),
        ({"molecules": ["OH-2-H", "CHO-2-H"]}, "not sorted"),
        ({"molecules": ["OH-2-H", "OH-2-H"]}, "occurs twice"),
        ({"note": "hello"}, "note: unknown key"),
    ],
)
def test_what_is_no_record_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        parsed(**changes)
    assert "model/mlip-ood.json" in str(caught.value)
    assert "`python -m dataset_builders export`" in str(caught.value)


@pytest.mark.parametrize("key", sorted(set(document()) - {"task_declaration"}))
def test_every_key_must_be_there(key: str) -> None:
    rest = {name: value for name, value in document().items() if name != key}
    with pytest.raises(DataError, match=f"{key}: not given"):
        parse_training_record(json.dumps(rest).encode(), "here")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "EOF"),
        (b"\xff\xfe", "here is not a training record"),
        (b"[]", "here is not a training record"),
        (b'{"task_declaration":' + b"[" * 100_000, "recursion"),
        (b" " * (MAX_BYTES + 1), f"longer than {MAX_BYTES} bytes"),
    ],
    ids=["empty", "not-utf8", "list", "deep", "long"],
)
def test_hostile_files_are_refused(content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        parse_training_record(content, "here")


@given(st.binary(max_size=200))
def test_any_bytes_give_a_record_or_a_data_error(content: bytes) -> None:
    with pytest.raises(DataError, match="here"):
        parse_training_record(content, "here")


def test_a_file_that_is_not_there_and_a_folder_that_is_no_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot read"):
        read_training_record(tmp_path / "absent")
    (tmp_path / "file").write_text("")
    with pytest.raises(SetupError, match="cannot write"):
        write_training_record(tmp_path / "file" / "mlip-ood.json", parsed())


def test_the_record_of_a_checkpoint_lies_in_its_folder_or_beside_its_file(tmp_path: Path) -> None:
    assert record_place(tmp_path) == tmp_path / "mlip-ood.json"
    assert record_place(tmp_path / "m.model") == tmp_path / "m.model.mlip-ood.json"
