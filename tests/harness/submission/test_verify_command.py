"""`python -m harness submit` and `verify` from end to end, and entries beside each other."""

import json
import os
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from dataset_builders.core.errors import DataError, IncompleteError, SetupError
from dataset_builders.engines.separate_processes import SeparateProcesses
from harness.cli import main
from harness.submission import bounded_process
from harness.submission.across import entries_in, findings_across
from harness.submission.findings import EntryReport, Finding
from harness.submission.review_table import document_of, markdown_report, terminal_report, verdict_of
from harness.submission.verify import verify_entry
from harness.submission.verify_command import _require_sound
from tests.harness.submission.forging import edit, named_after_runs, reseal, run_of


@pytest.fixture(scope="module")
def zero(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the zero-force guess on mini, and its entry, made by the command."""
    folder = tmp_path_factory.mktemp("zero")
    assert main(["--model", "zero", "--task", "task4", "--output", str(folder / "results"), "--quiet"]) == 0
    (run,) = (folder / "results" / "zero").iterdir()
    assert main(["submit", str(run), "--out", str(folder / "entries")]) == 0
    return folder


def test_an_entry_of_the_command_is_sound_for_the_other_command(
    zero: Path, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    summary = tmp_path / "summary.md"
    assert main(["verify", str(zero / "entries"), "--summary", str(summary)]) == 0
    (entry,) = (zero / "entries").iterdir()
    printed = capfd.readouterr().out
    assert f"{entry.name}: sound, 0 points to look at" in printed
    assert "the last bit" in printed
    text = summary.read_text(encoding="utf-8")
    assert f"### {entry.name}" in text
    assert "| proved |" in text
    assert "| task4 | zero | control |" in text.replace("`", "")


def test_a_spot_check_as_json_which_alone_is_on_standard_output(zero: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (entry,) = (zero / "entries").iterdir()
    assert main(["verify", str(entry), "--model", "zero", "--frames", "5", "--seed", "1", "--json"]) == 0
    document = json.loads(capfd.readouterr().out)
    assert (document["entry"], document["sound"]) == (entry.name, True)
    assert {finding["kind"] for finding in document["findings"]} == {"proved", "stated"}
    (result,) = document["results"].values()
    assert list(result["tasks"]) == ["task4"]
    texts = [finding["text"] for finding in document["findings"]]
    assert any(text.startswith("5 frames (seed 1) recomputed: forces differ by at most 0 meV/Å") for text in texts)


def test_a_run_of_an_entry_is_one_that_other_commands_take(zero: Path, tmp_path: Path) -> None:
    entries = Path(shutil.copytree(zero / "entries", tmp_path / "entries"))
    (entry,) = entries.iterdir()
    before = {path: path.read_bytes() for path in entry.rglob("*") if path.is_file()}
    (run,) = (zero / "results" / "zero").iterdir()
    assert main(["report", str(run_of(entry)), "--quiet"]) == 0
    other = ["--model", "mmff94", "--task", "task4", "--output", str(tmp_path), "--quiet"]
    assert main(["compare", str(run_of(entry)), *other]) == 0
    assert main(["compare", str(run_of(entry)), str(run)]) == 2  # the same evaluation
    assert {path: path.read_bytes() for path in entry.rglob("*") if path.is_file()} == before


def test_an_entry_with_failures_alone_ends_with_the_code_of_incomplete_results() -> None:
    failed, wrong = Finding("fault", "2 structures failed", is_incomplete=True), Finding("fault", "a number is wrong")
    with pytest.raises(IncompleteError, match="1 of 1 entries are refused, with 1 faults; the first: 2 structures"):
        _require_sound([EntryReport("x", None, (), (failed,))])
    with pytest.raises(DataError, match="with 2 faults"):
        _require_sound([EntryReport("x", None, (), (failed, wrong))])
    _require_sound([EntryReport("x", None, (), ())])


def test_refused_entries_end_with_the_code_of_data_and_every_report(
    zero: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    entries = Path(shutil.copytree(zero / "entries", tmp_path / "entries"))
    (sound,) = entries.iterdir()
    (entries / "README.md").write_text("not an entry")
    assert main(["verify", str(entries)]) == 3
    printed = capfd.readouterr()
    assert f"{sound.name}: sound" in printed.out
    assert "README.md: refused, 1 fault" in printed.out
    assert "error: 1 of 2 entries are refused, with 1 faults; the first: README.md is not a folder" in printed.err


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--frames", "0"], 2, "--frames 0; expected 1 or more"),
        (["--seed", "-1"], 2, "--seed -1"),
        (["--tolerance", "nan"], 2, "--tolerance nan"),
        (["--tolerance", "0"], 2, "--tolerance 0"),
        (["--dataset", "nowhere"], 3, "not one of the accepted data sets: there is no data-set folder 'nowhere'"),
        (["--summary", "/nowhere/x.md"], 6, "cannot write /nowhere/x.md"),
    ],
)
def test_wrong_options_are_told(
    zero: Path, capfd: pytest.CaptureFixture[str], arguments: list[str], code: int, said: str
) -> None:
    assert main(["verify", str(zero / "entries"), *arguments]) == code
    assert said in capfd.readouterr().err


def test_a_folder_without_entries_is_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(DataError, match="is empty; expected an entry"):
        entries_in(tmp_path)
    with pytest.raises(DataError, match="is not a folder"):
        entries_in(tmp_path / "absent")
    assert main(["verify", str(tmp_path)]) == 3


@pytest.mark.parametrize(
    ("place", "code"),
    [("org/name", 2), ("org/name@main", 2), ("org/name@" + "0" * 40 + "/../x", 2), ("x@" + "0" * 40, 2)],
)
def test_places_on_the_hub_are_pinned(
    zero: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], place: str, code: int
) -> None:
    (run,) = (zero / "results" / "zero").iterdir()
    assert main(["submit", str(run), "--out", str(tmp_path), "--predictions-at", place]) == code
    assert "expected org/name@COMMIT[/folder]" in capfd.readouterr().err


# Another process


def _die(directory: Path, datasets: object) -> EntryReport:
    os._exit(11)


def _limit(directory: Path, datasets: tuple[str, ...]) -> tuple[EntryReport, int]:
    import resource

    return bounded_process._verify_within_bounds(directory, datasets), resource.getrlimit(resource.RLIMIT_AS)[0]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not bound the address space")
def test_memory_is_bounded(made: SimpleNamespace, tiny_dataset: Path) -> None:
    with SeparateProcesses(1) as processes:
        report, limit = processes.submit(_limit, made.entry, (str(tiny_dataset),)).result()
    assert not report.faults
    assert 0 < limit <= bounded_process.MEMORY_BYTES


def test_a_file_that_kills_its_reader_is_a_fault_of_its_entry(
    made: SimpleNamespace, tiny_dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with SeparateProcesses(1) as processes:
        monkeypatch.setattr(bounded_process, "_verify_within_bounds", _die)
        report = bounded_process.verify_in_bounded_process(processes, made.entry, [])
        assert (
            "the process that read the entry died: a file is malformed, or needs more than 8 GiB"
            in report.faults[0].text
        )
        monkeypatch.undo()
        assert not bounded_process.verify_in_bounded_process(processes, made.entry, [str(tiny_dataset)]).faults


def test_what_cannot_be_checked_now_takes_no_report_away(
    zero: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(processes: SeparateProcesses, directory: Path, datasets: list[str]) -> EntryReport:
        if directory.name == "far":
            raise SetupError("the Hub cannot be reached")
        return verify_entry(directory, datasets)

    entries = Path(shutil.copytree(zero / "entries", tmp_path / "entries"))
    (near,) = entries.iterdir()
    (entries / "far").mkdir()
    monkeypatch.setattr(bounded_process, "verify_in_bounded_process", offline)
    assert main(["verify", str(entries)]) == 6
    printed = capfd.readouterr()
    assert f"{near.name}: sound" in printed.out
    assert "error: the Hub cannot be reached" in printed.err


# Entries beside each other


def test_one_run_under_two_names_is_refused(entry: Path, tiny_dataset: Path) -> None:
    other = Path(shutil.copytree(entry, entry.with_name("copy")))
    edit(other / "entry.json", lambda document: document.update(name="better"))
    other = named_after_runs(other)
    reports = [verify_entry(each, [str(tiny_dataset)]) for each in (entry, other)]
    assert not any(report.faults for report in reports)
    found = findings_across(reports)
    for report, sibling in zip(reports, (other, entry), strict=True):
        texts = [finding.text for finding in found[report.place] if finding.kind == "fault"]
        assert f"{sibling.name} next to it is an entry of the same runs" in texts
        assert any("occurs in several entries" in text for text in texts)
    # Also where only one of them is checked, as in a pull request.
    alone = findings_across(reports[:1])
    assert [finding.text for finding in alone[str(entry)]] == [f"{other.name} next to it is an entry of the same runs"]


def test_entries_of_different_runs_live_beside_each_other(
    zero: Path, made: SimpleNamespace, tiny_dataset: Path
) -> None:
    (first,) = (zero / "entries").iterdir()
    reports = [verify_entry(first, ["mini"]), verify_entry(made.entry, [str(tiny_dataset)])]
    assert findings_across(reports) == {}


# What is shown

HOSTILE = "<img src=x onerror=alert(1)> | [x](javascript:y) `c` \x1b[31m\u202e **b** http://evil.example/ @org #1"


def test_what_others_wrote_is_shown_and_never_read(capsys: pytest.CaptureFixture[str]) -> None:
    from rich.console import Console

    report = EntryReport(f"/entries/{HOSTILE}", None, (), (Finding("fault", f"[bold]{HOSTILE}[/bold]"),))
    text = markdown_report(report)
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "<img" not in text
    assert "[x](" not in text
    assert "`http://evil.example/`" in text or "http://evil.example/" not in text
    assert all(line.count("|") - line.count("\\|") in (0, 4) for line in text.splitlines())
    Console(width=200, force_terminal=False).print(terminal_report(report))
    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    assert "\u202e" not in printed
    assert "[bold]" in printed


def test_verdicts_are_counted() -> None:
    def report(*kinds: str) -> EntryReport:
        return EntryReport("x", None, (), tuple(Finding(kind, "text") for kind in kinds))  # type: ignore[arg-type]

    assert verdict_of(report("proved")) == "sound, 0 points to look at"
    assert verdict_of(report("look", "stated")) == "sound, 1 point to look at"
    assert verdict_of(report("fault", "fault", "look")) == "refused, 2 faults"
    kinds = [finding["kind"] for finding in document_of(report("look", "fault", "stated", "proved"))["findings"]]
    assert kinds == ["fault", "proved", "stated", "look"]


def test_hostile_bytes_reach_no_terminal(entry: Path, tiny_dataset: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for name in ("run.json", "result.json"):
        edit(run_of(entry) / name, lambda document: document["model"].update(head="\x1b[2J\u202eevil"))
    reseal(entry)
    assert main(["verify", str(entry), "--dataset", str(tiny_dataset)]) == 3
    printed = capfd.readouterr()
    assert "\x1b[2J" not in printed.out + printed.err
    assert "\u202e" not in printed.out + printed.err
