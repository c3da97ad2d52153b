"""CONTRIBUTING.md, followed to the letter: a family is added in one file, and every file that it names is there."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.conftest import tiny_dataset  # noqa: F401 (a fixture)

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def test_a_family_is_added_by_copying_one_file(tmp_path: Path, tiny_dataset: Path) -> None:  # noqa: F811
    """Step 1 to 3 of `Add a family`: the copy of `zero.py` under another name, in a checkout of its own."""
    checkout = tmp_path / "checkout"
    for package in ("dataset_builders", "harness", "model_cards"):
        shutil.copytree(ROOT / package, checkout / package, ignore=shutil.ignore_patterns("__pycache__", "mini"))
    potentials = checkout / "harness" / "potentials"
    text = (potentials / "zero.py").read_text(encoding="utf-8")
    (potentials / "toy.py").write_text(text.replace('"zero"', '"toy"').replace("zeros", "ones"), encoding="utf-8")
    finished = subprocess.run(
        [sys.executable, "-m", "harness", "--model", "toy", "--dataset", str(tiny_dataset), "--json", "--quiet"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(checkout)},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    result = json.loads(finished.stdout)
    assert result["model"]["family"] == "toy"
    assert set(result["tasks"]) == {"task1", "task4"}
    assert all(task["n_failed"] == 0 for task in result["tasks"].values())


def named_files() -> list[str]:
    """Files and folders that the page names in code quotes, as they lie in the checkout."""
    quoted = re.findall(r"`([\w./-]+(?:\.py|\.md|\.toml|\.txt|/))`", PAGE)
    return sorted(set(quoted))


@pytest.mark.parametrize("name", named_files())
def test_every_file_that_is_named_is_there(name: str) -> None:
    places = (
        ROOT,
        *(ROOT / package for package in ("harness", "dataset_builders", "model_cards", "model_cards/entries")),
    )
    rooms = [
        path for package in ("harness", "dataset_builders") for path in (ROOT / package).iterdir() if path.is_dir()
    ]
    assert any((place / name).exists() for place in (*places, *rooms)), name
