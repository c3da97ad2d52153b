"""A published model, known by its name, is measured at its own level of theory without further options."""

import json
from pathlib import Path

import pytest

from dataset_builders.chemistry.levels import LEVELS
from harness.cli import main
from harness.results.result import RunResult

WB97M = LEVELS["wb97m-d3bj"]


@pytest.fixture(scope="module")
def mace_off(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random MACE of all elements of the data set under the name of MACE-OFF."""
    pytest.importorskip("mace")
    from tests.benchmarks.small_mace import main as write

    path = tmp_path_factory.mktemp("models") / "mace-off" / "MACE-OFF23_small.model"
    path.parent.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["small_mace", str(path), "--channels", "2"])
        write()
    return path


def test_a_random_mace_named_as_mace_off_is_measured_on_wb97m_labels(
    mace_off: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ["--output", str(tmp_path), "--quiet", "--trust-checkpoint"]
    assert main(["--model", str(mace_off.parent), *common]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert f"labels {WB97M.method}" in shown
    assert f"level of theory {WB97M.method} (known by name alone)" in shown
    assert "overlap: unknown whether" in shown
    (path,) = tmp_path.glob("*/*/result.json")
    result = RunResult.load(path)
    assert list(result.tasks) == ["task2", "task3"]
    assert (result.dataset.suffix, result.levels_agree, result.floor) == ("wb97m", True, None)
    assert (result.model.known_as, result.model.known_by, result.model.overlap) == ("MACE-OFF23", "name", "unknown")
    assert not result.model.level_is_stated
    _with_a_list(mace_off, common, path, tmp_path, capsys)


def _with_a_list(
    mace_off: Path, common: list[str], result: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same run with a list of training molecules: nothing is computed again, and the overlap is named."""
    listed = tmp_path / "spice.smi"
    listed.write_text("OCCO\nCCO\nCCCC\nc1ccccc1\n")
    assert main(["--model", str(mace_off.parent), *common, "--training-smiles", str(listed), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    overlap = document["model"]["overlap"]
    in_training = ["H-4-H", "OH-2-H"]
    assert overlap["molecules"] == {
        "task2": {"test_id": in_training, "test_ood": ["OH-2-OH"]},
        "task3": {"test_id": in_training, "test_ood": []},
    }
    assert (overlap["n_listed"], overlap["source"].split()[0]) == (4, "spice.smi")
    assert main(["report", str(result.parent), "--quiet"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "caution: 1 OOD molecules of task2 are among the training molecules of" in shown
    assert "OH-2-OH; to it they are not unseen" in shown
