"""CHANGELOG.md: the frozen data set is what it says, so none of its rows can change unnoticed."""

import re
import tomllib
from pathlib import Path

from dataset_builders.cli import main
from dataset_builders.folder.content_hash import config_hashes
from dataset_builders.folder.mini import MINI_DIRECTORY
from dataset_builders.folder.schema import DATASET_DATE, DATASET_VERSION, SCHEMA_VERSION

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
SECTIONS = re.findall(r"^## Data set \[(\d+\.\d+)\] - \d{4}-\d\d-\d\d$(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
"""Version and text of each section on the data set, the newest first."""


def stated(text: str) -> dict[str, str]:
    return dict(re.findall(r"^\| `([a-z0-9-]+)` \| [^|]+ \| `([0-9a-f]{64})` \|$", text, re.MULTILINE))


def test_the_files_have_the_content_that_was_frozen() -> None:
    """A new configuration needs a row of the table; a changed one a new major version."""
    frozen: dict[str, str] = {}
    for _, text in reversed(SECTIONS):
        frozen |= stated(text)
    assert frozen == config_hashes(MINI_DIRECTORY)


def test_no_row_changes_within_a_major_version() -> None:
    seen: dict[tuple[str, str], str] = {}
    for version, text in SECTIONS:
        for config, content in stated(text).items():
            assert seen.setdefault((version.partition(".")[0], config), content) == content


def test_the_newest_version_is_that_of_the_code() -> None:
    version, text = SECTIONS[0]
    assert version == DATASET_VERSION
    assert f"## Data set [{version}] - {DATASET_DATE}\n" in PAGE
    assert f"schema {SCHEMA_VERSION}" in text
    card = (MINI_DIRECTORY / "README.md").read_text(encoding="utf-8")
    assert f"version {DATASET_VERSION}, schema {SCHEMA_VERSION}." in card
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert f"## Package [{project['version']}]" in PAGE


def test_the_command_prints_what_is_stated(capsys) -> None:  # type: ignore[no-untyped-def]
    assert main(["hashes", "mini"]) == 0
    assert dict(line.split() for line in capsys.readouterr().out.splitlines()) == config_hashes(MINI_DIRECTORY)
    assert main(["hashes", str(ROOT / "docs")]) == 3
    assert "holds no configuration such as task1/" in capsys.readouterr().err
