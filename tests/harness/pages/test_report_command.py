"""What `harness report --html` writes and refuses, also for failures and methods."""

import sys
from pathlib import Path

import pytest

from dataset_builders.core.errors import IncompleteError, MissingPackageError, SetupError, UsageError
from dataset_builders.tasks.words import parse_word
from harness.cli import main as harness
from harness.commands import report
from harness.pages.report.drawings import drawing, plain_drawing
from tests.harness.pages.conftest import HOSTILE


def test_the_page_replaces_a_file_whole_and_figures_are_written(own_runs: tuple[Path, Path], tmp_path: Path) -> None:
    page, figures = tmp_path / "new" / "report.html", tmp_path / "figures"
    page.parent.mkdir()
    page.write_text("an earlier page")
    assert harness(["report", str(own_runs[0]), "--html", str(page), "--figures", str(figures)]) == 0
    text = page.read_text()
    assert text.startswith("<!DOCTYPE html>")
    assert [path.name for path in page.parent.iterdir()] == ["report.html"]
    names = {path.name for path in figures.iterdir()}
    charts = {name.removesuffix(".svg") for name in names if name.endswith(".svg")}
    assert names == {f"{name}{ending}" for name in charts for ending in (".svg", ".png")}
    assert {"gaps", "ethers-overview"} < charts
    assert {f'id="chart-{name}"' for name in charts} == {part for part in _identifiers(text) if "chart-" in part}
    assert "from-scratch on ethers, as stated by the user" in text
    # The name of the model occurs as text alone, and the command quotes it for a shell.
    assert HOSTILE not in text
    assert "--model &#39;&lt;/script&gt;&lt;b&gt;name&lt;/b&gt;&#39;" in text


def _identifiers(text: str) -> set[str]:
    return {part.partition(">")[0].partition(" ")[2] for part in text.split('type="application/json"')[1:]} | {
        f'id="{part.partition(chr(34))[0]}"' for part in text.split('<script type="application/json" id="')[1:]
    }


def test_failed_frames_are_listed_and_leave_no_gap(own_runs: tuple[Path, Path], tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    with pytest.raises(IncompleteError, match="structures failed"):
        report.main([str(own_runs[1]), "--html", str(page)])
    text = page.read_text()
    assert "frames failed and count in no number" in text
    assert "&lt;i&gt;no convergence&lt;/i&gt;" in text
    assert "There is no gap: frames that failed: " in text
    assert "caution: " in text


def test_places_that_cannot_be_written_are_refused(own_runs: tuple[Path, Path], tmp_path: Path) -> None:
    run, file = str(own_runs[0]), tmp_path / "file"
    file.write_text("")
    with pytest.raises(UsageError, match=r"--html .* is a folder; expected the file to write, such as .*report\.html"):
        report.main([run, "--html", str(tmp_path)])
    with pytest.raises(UsageError, match=r"--figures .*file is a file; expected a folder"):
        report.main([run, "--figures", str(file)])
    with pytest.raises(SetupError, match=r"cannot write .*file.*; choose a file with --html"):
        report.main([run, "--html", str(file / "report.html")])


def test_a_missing_package_is_named(
    own_runs: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "altair", None)
    with pytest.raises(
        MissingPackageError, match=r"a report with charts needs the package 'altair'.*mlip-ood\[pages\]"
    ):
        report.main([str(own_runs[0]), "--html", str(tmp_path / "report.html")])


def test_a_method_is_sent_to_its_runs(tmp_path: Path) -> None:
    (tmp_path / "method.json").write_text("{}")
    for option in ("--html", "--figures"):
        with pytest.raises(UsageError, match=f"{option} is for runs, and .* is the folder of a method; give the runs"):
            report.main([str(tmp_path), option, str(tmp_path / "out")])


def test_molecules_are_drawn_in_the_colours_of_the_page() -> None:
    both = drawing(parse_word("COOH-2-OH"), frozenset({"COOH", "OH"}))
    one = drawing(parse_word("COOH-2-OH"), frozenset({"OH"}))
    assert both.startswith("<svg aria-hidden='true'")
    assert both.count("<ellipse") == 4
    assert one.count("<ellipse") == 1
    assert "currentColor" in both
    assert "#000000" not in both + plain_drawing("CCO")
    assert "<ellipse" not in plain_drawing("CCO")
