"""The benchmark of a GPU: it runs on a CPU by the same code, and the docs show what its figures render to."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks.gpu import rendered
from tests.packages import need

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("path", sorted((ROOT / "docs/results/gpu").glob("*.json")), ids=lambda path: path.stem)
def test_the_page_shows_what_was_measured(path: Path) -> None:
    page = (ROOT / "docs" / "gpu.md").read_text(encoding="utf-8")
    assert rendered(json.loads(path.read_text(encoding="utf-8"))) in page


@pytest.mark.slow
def test_it_runs_without_a_gpu(tmp_path: Path) -> None:
    need("graph_pes")
    sections = ("machine", "reference", "evaluation", "labels")
    options = ["--device", "cpu", "--seconds", "0.05", "--batch-atoms", "256", "--sections", *sections]
    command = [sys.executable, "-m", "tests.benchmarks.gpu", "--out", str(tmp_path / "gpu.json"), *options]
    subprocess.run(command, cwd=ROOT, check=True, timeout=280)
    found = json.loads((tmp_path / "gpu.json").read_text(encoding="utf-8"))["sections"]
    assert found["reference"]["batches"]["256"]["structures_per_s"] > 0.0
    assert found["reference"]["agreement"]["forces_vs_cpu_eV_per_A"] == 0.0
    assert found["evaluation"]["force_mae"]["test_ood"] == pytest.approx(0.0304, abs=1e-4)
    assert found["labels"]["error"] == "gpu4pyscf, CuPy or a CUDA device is absent"
