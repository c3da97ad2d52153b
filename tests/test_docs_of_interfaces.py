"""The pages on Python and on the command line: their code runs, and their tables are those of the code."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from dataset_builders.cli import COMMANDS as BUILDERS
from dataset_builders.core.console import EXIT_CLOSED_OUTPUT, EXIT_INTERRUPTED
from dataset_builders.core.errors import (
    DataError,
    IncompleteError,
    MlipOodError,
    ModelError,
    SetupError,
    UsageError,
)
from harness.cli import COMMANDS
from harness.core.known_checkpoints import known_checkpoints
from model_cards.cli import COMMANDS as CARDS
from tests.benchmarks.level_tables import with_tables

ROOT = Path(__file__).parent.parent
PYTHON = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
COMMAND_LINE = (ROOT / "docs" / "command-line.md").read_text(encoding="utf-8")
SOURCES = [
    path for package in ("harness", "dataset_builders", "model_cards") for path in (ROOT / package).rglob("*.py")
]


def test_the_code_of_the_page_runs_from_its_first_to_its_last_line(tmp_path: Path) -> None:
    program = "\n".join(re.findall(r"```python\n(.*?)```", PYTHON, re.DOTALL))
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("gap 0.99 (")
    assert len([line for line in lines if " / gfn1-xtb " in line]) == 4
    assert lines[-2].startswith("GFN2-xTB [")
    assert re.fullmatch(r"\('task1', 'task2', 'task3', 'task4'\) GFN2-xTB [0-9a-f]{12}", lines[-1])
    assert len(list(tmp_path.glob("results/*/*/result.json"))) == 3


def rows_under(title: str) -> list[str]:
    """First cells of the table that begins with a title."""
    table = COMMAND_LINE[COMMAND_LINE.index(f"| {title}") :].split("\n\n")[0]
    return [line.split("|")[1] for line in table.splitlines()[2:]]


@pytest.mark.parametrize(("package", "commands"), [("harness", COMMANDS), ("dataset_builders", BUILDERS)])
def test_all_commands_are_listed(package: str, commands: tuple[str, ...]) -> None:
    listed = re.findall(r"`([a-z-]+)`", " ".join(rows_under(f"`python -m {package} ...`")))
    assert sorted(listed) == sorted(commands)
    assert set(CARDS) <= set(re.findall(r"[a-z]+", COMMAND_LINE))


def test_the_exit_codes_are_those_of_the_errors() -> None:
    listed = {int(cell) for cell in rows_under("code")}
    kinds = (MlipOodError, UsageError, DataError, ModelError, IncompleteError, SetupError)
    assert listed == {0, EXIT_INTERRUPTED, EXIT_CLOSED_OUTPUT} | {kind.exit_code for kind in kinds}


def test_the_variables_of_the_project_are_those_of_the_code() -> None:
    own = re.compile(r"\bMLIP_OOD_[A-Z_]+\b")
    in_code = {name for path in SOURCES for name in own.findall(path.read_text(encoding="utf-8"))}
    in_table = {name for cell in rows_under("variable") for name in own.findall(cell)}
    assert in_table == in_code


def test_every_variable_that_the_code_reads_by_name_is_in_the_table() -> None:
    reading = re.compile(r"environ(?:\.get\(|\[)\s*\"([A-Z_]+)\"|environment\.get\(\"([A-Z_]+)\"")
    read = {
        name
        for path in SOURCES
        for found in reading.findall(path.read_text(encoding="utf-8"))
        for name in found
        if name
    }
    absent = {name for name in read if name not in COMMAND_LINE}
    assert absent <= {"PATH", "LD_LIBRARY_PATH"}  # read to be passed on


@pytest.mark.parametrize("page", ["python.md", "command-line.md"])
def test_links_lead_somewhere(page: str) -> None:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)", text):
        assert (ROOT / "docs" / target).exists(), target


def test_the_tables_of_levels_are_those_of_the_data() -> None:
    """Otherwise run `python -m tests.benchmarks.level_tables`."""
    page = (ROOT / "docs" / "levels.md").read_text(encoding="utf-8")
    assert page == with_tables(page)
    assert all(f"| {row.name} |" in page for row in known_checkpoints())
