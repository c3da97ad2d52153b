"""Hostile files: what is no plain file, of no possible size, not listed, or can be read as two things is refused."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.submission.findings import EntryReport
from tests.harness.submission.forging import edit, named_after_runs, refused, reseal, run_of


def test_a_file_that_is_not_listed_is_refused(entry: Path, checked: Callable[[Path], EntryReport]) -> None:
    (run_of(entry) / "evil.py").write_text("import os")
    refused(checked(entry), r"contains files that it does not list: 1, first runs/\w{12}/evil.py")


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
    refused(checked(entry), "is a symbolic link|is not a plain file|is not a folder, or is a link")


@pytest.mark.parametrize("path", ["../../secret.parquet", "/etc/passwd", "..\\x.parquet", "a/b.parquet", "", "\x00"])
def test_a_name_that_leads_elsewhere_is_refused(entry: Path, checked: Callable[[Path], EntryReport], path: str) -> None:
    def change(document: Any) -> None:
        (run,) = document["runs"].values()
        run["predictions"][path] = next(iter(run["predictions"].values()))

    edit(entry / "entry.json", change)
    refused(checked(entry), "entry.json (is not a document|contains the text)")


@pytest.mark.parametrize("run_id", ["../47d71af872c3", "x" * 12, "47D71AF872C3"])
def test_a_run_that_leads_elsewhere_is_refused(
    entry: Path, checked: Callable[[Path], EntryReport], run_id: str
) -> None:
    edit(entry / "entry.json", lambda document: document.update(runs={run_id: next(iter(document["runs"].values()))}))
    refused(checked(entry), "entry.json is not a document of schema")


def test_a_file_larger_than_stated_is_not_read(entry: Path, checked: Callable[[Path], EntryReport]) -> None:
    with (run_of(entry) / "result.json").open("ab") as stream:
        stream.truncate(2**40)  # no block of it is on the disk
    refused(checked(entry), "result.json has 1,099,511,627,776 bytes; entry.json states")


def test_a_file_larger_than_any_can_be_is_refused_by_what_it_says(
    entry: Path, checked: Callable[[Path], EntryReport]
) -> None:
    (path,) = (run_of(entry) / "result.json",)
    with path.open("ab") as stream:
        stream.truncate(5 * 2**20)
    reseal(entry)
    refused(checked(entry), "result.json has 5,242,880 bytes; expected at most 4,194,304")


def test_a_document_of_any_length_is_not_read(entry: Path, checked: Callable[[Path], EntryReport]) -> None:
    with (entry / "entry.json").open("ab") as stream:
        stream.truncate(2**40)
    refused(checked(entry), "entry.json is larger than 4,194,304 bytes and is not read")


NULL = '"overall_score": null'
PROTOCOL = '"protocol": "from-scratch"'
IN_TEXT = {
    "key twice": ("result.json", NULL, f"{NULL}, {NULL}", "the key overall_score occurs twice"),
    "nan": ("result.json", NULL, '"overall_score": NaN', "it contains NaN, which is not a JSON number"),
    "infinity": ("result.json", NULL, '"overall_score": -Infinity', "it contains -Infinity"),
    "overflow": ("result.json", NULL, '"overall_score": 1e999', "it contains 1e999, which does not fit a float64"),
    "deep": ("result.json", NULL, '"overall_score": ' + "[" * 100_000, "cannot be read"),
    "long": ("result.json", NULL, '"overall_score": ' + "9" * 10_000, "cannot be read"),
    "extra": ("result.json", NULL, f'{NULL}, "verdict": "good"', "verdict: unknown key"),
    "old": ("result.json", '"schema_version": "2.1"', '"schema_version": "0.9"', "has schema version '0.9'"),
    "new": ("run.json", '"version": "1.0"', '"version": "2.0"', "run.json is damaged or from another version"),
    "large": ("run.json", '"batch_atoms": 512', '"batch_atoms": 1' + "0" * 22, "batch_atoms is an integer of 74 bits"),
    "task twice": ("run.json", '"task1"\n', '"task1", "task1"\n', "run.json is damaged.*expected one or more"),
    "terminal": ("result.json", '"m.model"', '"m.\\u001b[31mmodel"', "contains the text .*control characters"),
    "direction": ("result.json", '"m.model"', '"m.\\u202emodel"', "contains the text .*control characters"),
    "lines": ("result.json", '"m.model"', '"m.\\nmodel"', "contains the text .*a line break"),
    "record": ("mlip-ood.json", PROTOCOL, f"{PROTOCOL}, {PROTOCOL}", "the key protocol occurs twice"),
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
    refused(checked(entry), "entry.json cannot be read: the key name occurs twice")


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"[]", b"{}", b"null", b'{"schema": "mlip-ood-entry/2"}'])
def test_what_is_no_document_is_refused(entry: Path, checked: Callable[[Path], EntryReport], content: bytes) -> None:
    (entry / "entry.json").write_bytes(content)
    refused(checked(entry), "entry.json (cannot be read|is not a document)")


def test_a_folder_called_otherwise_is_refused(entry: Path, checked: Callable[[Path], EntryReport]) -> None:
    refused(checked(entry.rename(entry.with_name("better-name"))), "the folder is named .*; expected toy-")


def test_another_name_in_the_document_is_another_folder(entry: Path, checked: Callable[[Path], EntryReport]) -> None:
    edit(entry / "entry.json", lambda document: document.update(name="state-of-the-art"))
    refused(checked(entry), "the folder is named .*; expected state-of-the-art-")


@pytest.mark.parametrize("name", ["", "-x", "X", "a b", "a/b", "..", "a" * 61, "a\n", "<b>"])
def test_names_are_plain(entry: Path, checked: Callable[[Path], EntryReport], name: str) -> None:
    edit(entry / "entry.json", lambda document: document.update(name=name))
    refused(checked(entry), "entry.json (is not a document|contains the text)")


def test_a_run_renamed_with_its_entry_is_not_of_its_identity(
    entry: Path, checked: Callable[[Path], EntryReport]
) -> None:
    run = run_of(entry)
    run.rename(run.with_name("0" * 12))
    refused(checked(named_after_runs(entry)), "the folder is named 0{12}; from its identity, it should be")
