"""A folder of results: what is in it, what is left out and why, and what strangers wrote."""

import json
from pathlib import Path

import pytest

from dataset_builders.core.errors import DataError
from harness.results.result import RESULT_NAME
from harness.submission.entry_document import ENTRY_SCHEMA, EntryDocument, EntryRun, FileRecord
from model_cards.leaderboard.site import from_folder
from model_cards.leaderboard.site.from_folder import entries_of_path
from model_cards.leaderboard.site.site_entry import https_address, one_line, shown_name
from tests.harness.results.test_lowered_precision import MEASURED
from tests.model_cards.leaderboard.site.conftest import MINI, MakeResult, save, save_method

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def test_runs_of_one_model_are_one_entry(make_run: MakeResult, tmp_path: Path) -> None:
    """Runs on different tasks; a second run on a task is an entry of its own."""
    save(make_run("org/m", "task1"), tmp_path / "a")
    save(make_run("org/m", "task2", "task3"), tmp_path / "b")
    save(make_run("org/m", "task1"), tmp_path / "c")
    save(make_run("org/other", "task4"), tmp_path / "d")
    found = entries_of_path(tmp_path)
    assert sorted((entry.name, " ".join(entry.tasks)) for entry in found.entries) == [
        ("org/m", "task1"), ("org/m", "task1 task2 task3"), ("org/other", "task4"),
    ]  # fmt: skip
    assert found.left_out == ()


def test_numbers_are_those_of_the_result(make_run: MakeResult, tmp_path: Path) -> None:
    """With their intervals, and the overall score of a model on all four."""
    result = make_run("org/m")
    save(result, tmp_path)
    (entry,) = entries_of_path(tmp_path).entries
    for name, task in result.tasks.items():
        numbers = entry.tasks[name].numbers
        expected = task.splits["test_ood"].metrics["force_mae"]
        assert (numbers["ood_force_mae"].value, numbers["ood_force_mae"].low) == (expected.value, expected.low)
        assert (numbers["gap"].value, numbers["gap"].reason) == (task.gap.value, task.gap.reason)
    assert entry.overall is not None
    assert entry.overall.value == result.overall_score
    assert entry.speed.rate == 1234.5
    assert entry.speed.hardware == "A CPU; fast, 2 threads"
    assert entry.commands[0].startswith("python -m harness --model org/m --dataset ")


def test_what_a_lower_precision_changes_stands_beside_the_speed(make_run: MakeResult, tmp_path: Path) -> None:
    """The entry has the largest difference of its runs, and a method that of its seeds."""
    larger = MEASURED.model_copy(update={"largest_force": 7e-5})
    lowered = [
        make_run("org/m", task, dtype="float32", lowered_precision=each)
        for task, each in (("task1", MEASURED), ("task2", larger))
    ]
    for place, result in enumerate(lowered):
        save(result, tmp_path / "runs" / str(place))
    (entry,) = entries_of_path(tmp_path / "runs").entries
    expected = "float32 differs from float64 of the checkpoint by at most 7e-05 eV/Å and 4e-07 eV/atom"
    assert entry.speed.rounding == f"{expected} (mean 2e-06 and 1e-07; 128 structures)"
    seeds = [make_run("a", "task1", files={"a": "1" * 64}), make_run("b", "task1", files={"b": "2" * 64})]
    models = [each.model.model_copy(update={"dtype": "float32", "lowered_precision": MEASURED}) for each in seeds]
    pairs = zip(seeds, models, strict=True)
    save_method([seed.model_copy(update={"model": model}) for seed, model in pairs], tmp_path / "method")
    (method,) = entries_of_path(tmp_path / "method").entries
    assert method.speed.rounding.startswith("float32 differs from float64 of the checkpoint by at most 3.1e-05 eV/Å")
    assert method.speed.rounding.endswith("128 structures)")


def test_a_method_is_one_entry_with_its_seeds(make_run: MakeResult, tmp_path: Path) -> None:
    """The runs that it averages have no entries of their own; a run beside them has one."""
    declared = {"protocol": "from-scratch", "training": "stated", "trained_on": "task2"}
    seeds = [make_run(f"m{seed}", "task2", files={"m": f"{seed}" * 64}, **declared) for seed in (0, 1, 2)]
    save_method(seeds, tmp_path / "method")
    save(make_run("org/alone", "task1"), tmp_path / "alone")
    entries = {entry.name: entry for entry in entries_of_path(tmp_path).entries}
    assert entries.keys() == {"my-method", "org/alone"}
    task = entries["my-method"].tasks["task2"]
    assert (task.n_seeds, task.seeds, task.numbers["gap"].deviation) == (3, "0, 1, 2", 0.0)
    assert "--method my-method" in entries["my-method"].commands[0]


def test_an_entry_of_a_repo_of_results_has_its_name_and_weights(make_run: MakeResult, tmp_path: Path) -> None:
    """As submitted; the weights are linked where their place is one of the Hub, or an https address."""
    places = {"hub": f"org/m@{COMMIT}", "page": "https://a.b/weights", "trap": "javascript:alert(1)"}
    for name, checkpoint in places.items():
        file = FileRecord(sha256="0" * 64, n_bytes=1)
        run = EntryRun(files={"run.json": file, "result.json": file}, predictions={f"{'0' * 16}.parquet": file})
        save(make_run("m.model", "task1"), tmp_path / name / "runs" / ("0" * 12))
        document = EntryDocument(schema=ENTRY_SCHEMA, name=f"entry-{name}", checkpoint=checkpoint, runs={"0" * 12: run})
        (tmp_path / name / "entry.json").write_text(document.text())
    (tmp_path / "page" / "entry.json").write_text("{}")
    found = entries_of_path(tmp_path)
    assert {entry.name: entry.origin.address for entry in found.entries} == {
        "entry-hub": f"https://huggingface.co/org/m/tree/{COMMIT}", "entry-trap": None, "m.model": None,
    }  # fmt: skip
    assert [fault.place for fault in found.left_out] == [f"{tmp_path.name}/page/entry.json"]


def test_files_that_cannot_be_read_are_named(
    make_run: MakeResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By file and reason, without the path of this machine; the others are shown."""
    save(make_run("org/good"), tmp_path / "good")
    broken = save(make_run("org/bad"), tmp_path / "broken")
    broken.write_text(broken.read_text()[:200])
    old = save(make_run("org/old"), tmp_path / "old")
    old.write_text(json.dumps({**json.loads(old.read_text()), "schema_version": "1.0"}))
    deep = tmp_path / "deep" / RESULT_NAME
    deep.parent.mkdir()
    deep.write_text("[" * 100_000 + "]" * 100_000)
    large = save(make_run("org/large"), tmp_path / "large")
    large.write_text(large.read_text() + " " * 400_000)
    monkeypatch.setattr(from_folder, "MAX_BYTES", 400_000)
    found = entries_of_path(tmp_path)
    assert [entry.name for entry in found.entries] == ["org/good"]
    causes = {fault.place.removeprefix(f"{tmp_path.name}/"): fault.cause for fault in found.left_out}
    assert causes.keys() == {"broken/result.json", "old/result.json", "deep/result.json", "large/result.json"}
    assert "cannot read the result" in causes["broken/result.json"]
    assert "has schema version 1.0" in causes["old/result.json"]
    assert "nested too deeply" in causes["deep/result.json"]
    assert "expected at most 400,000" in causes["large/result.json"]
    assert str(tmp_path) not in "".join(causes.values())


def test_a_folder_without_results_is_refused(tmp_path: Path) -> None:
    """So is what is not there, and a file of another kind."""
    with pytest.raises(DataError, match=r"holds no results; expected method\.json, result\.json or runs\.jsonl"):
        entries_of_path(tmp_path)
    with pytest.raises(DataError, match="does not exist"):
        entries_of_path(tmp_path / "absent")
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(DataError, match=r"notes\.txt is none of"):
        entries_of_path(tmp_path / "notes.txt")
    assert entries_of_path(MINI / "runs.jsonl").entries


def test_a_model_of_the_hub_has_a_page(make_run: MakeResult, tmp_path: Path) -> None:
    """One with a commit; a local folder with such a name has none."""
    save(make_run("org/m", revision=COMMIT), tmp_path / "a")
    save(make_run("org/local", revision=None), tmp_path / "b")
    addresses = {entry.name: entry.origin.address for entry in entries_of_path(tmp_path).entries}
    assert addresses == {"org/m": f"https://huggingface.co/org/m/tree/{COMMIT}", "org/local": None}


def test_failed_frames_leave_no_interval(make_run: MakeResult, tmp_path: Path) -> None:
    """The errors of a split with failures cover only what was computed."""
    from tests.harness.results.test_result import failed

    result = make_run("org/m", "task2")
    task = failed(result.tasks["task2"])
    save(result.model_copy(update={"tasks": {"task2": task}, "complete": False, "overall_score": None}), tmp_path)
    (entry,) = entries_of_path(tmp_path).entries
    assert entry.tasks["task2"].n_failed == task.n_failed
    assert entry.tasks["task2"].numbers["score"].value is None
    assert any("structures failed" in line for line in entry.cautions)


@pytest.mark.parametrize(
    ("text", "is_linked"),
    [
        ("https://huggingface.co/org/m/tree/main?a=1#x", True),
        ("http://huggingface.co/org/m", False),
        ("javascript:alert(1)", False),
        ("JAVASCRIPT:alert(1)//https://a.b", False),
        ("data:text/html,<script>", False),
        ("https://user:word@a.b/c", False),
        ("https://a.b/<script>", False),
        ("https://a.b/\u202ec", False),
        ("https://a.b:99999999/", False),
        ("https:///c", False),
        (" https://a.b/c", False),
        ("https://a.b/c\n", False),
        ("weights by mail", False),
        (None, False),
    ],
)
def test_only_plain_https_addresses_are_linked(text: str | None, is_linked: bool) -> None:
    """Whatever else stands there is text."""
    assert https_address(text) == (text if is_linked else None)


def test_names_are_one_line_without_the_path_of_a_machine() -> None:
    """Control characters and directions of text are replaced."""
    assert shown_name("/home/ann/models/x.model") == "models/x.model"
    assert shown_name("export/m.model") == "export/m.model"
    assert shown_name("C:\\Users\\ann\\x.model") == "ann/x.model"
    assert shown_name("a\nb\u202ec\x1b") == "a b\ufffdc\ufffd"
    assert len(one_line("x" * 9999)) == 2001
