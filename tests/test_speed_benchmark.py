"""The benchmark of speed on a CPU: it runs, and the docs show what its figures render to."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks.speed import rendered
from tests.packages import need

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("path", sorted((ROOT / "docs/results/speed").glob("*.json")), ids=lambda path: path.stem)
def test_the_page_shows_what_was_measured(path: Path) -> None:
    page = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    assert rendered(json.loads(path.read_text(encoding="utf-8"))) in page


@pytest.mark.slow
def test_it_runs(tmp_path: Path) -> None:
    need("graph_pes")
    options = ["--models", "reference", "--structures", "100", "--sample", "3", "--repeats", "1"]
    command = [sys.executable, "-m", "tests.benchmarks.speed", "--out", str(tmp_path / "speed.json"), *options]
    subprocess.run(command, cwd=ROOT, check=True, timeout=900)
    found = json.loads((tmp_path / "speed.json").read_text(encoding="utf-8"))["models"]["reference"]
    assert min(*found["rates"].values(), *found["cpu_ms"].values(), found["preparation"]) > 0.0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "row"),
    [
        (
            "precision --models reference --structures 10 --repeats 1",
            r"\| reference \| float32 \| [\d.,]+ \| ",
        ),
        ("side_by_side --models mace-16 --structures 10 --repeats 1", r"\| mace-16 \| mace-torch \S+, own batches \|"),
        ("compiled_inference --structures 10 --seconds 1", r"\| compiled, empty cache \| [\d.]+ \| [\d.]+ \|"),
    ],
)
def test_the_others_run(command: str, row: str) -> None:
    need("graph_pes")
    need("mace")
    words = [sys.executable, "-m", *f"tests.benchmarks.{command}".split()]
    done = subprocess.run(words, cwd=ROOT, check=True, timeout=900, stdout=subprocess.PIPE, text=True)
    assert re.search(row, done.stdout), done.stdout
