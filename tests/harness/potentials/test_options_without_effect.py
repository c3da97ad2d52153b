"""Options that a model has no use for are refused before anything is computed."""

import re
from pathlib import Path

import pytest

from dataset_builders.core.errors import UsageError
from harness.cli import main
from harness.core.potential import LoadOptions
from harness.models.registry import REFERENCE_DIRECTORY, load_potential
from tests.packages import need


@pytest.mark.parametrize("name", ["zero", "gfn1-xtb", "gfn2-xtb", "mmff94"])
def test_a_method_has_no_heads(name: str) -> None:
    with pytest.raises(UsageError, match=f"{name} has no readout heads, so it takes no --head; leave out --head pbe"):
        load_potential(name, LoadOptions(device="cpu", head="pbe"))


def test_a_trained_network_has_no_heads() -> None:
    need("graph_pes", "the reference needs graph-pes")
    with pytest.raises(UsageError, match=f"{re.escape(str(REFERENCE_DIRECTORY))} has no readout heads"):
        load_potential("reference", LoadOptions(device="cpu", head="pbe"))


def test_a_method_has_no_training_molecules(
    tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    smiles = tmp_path / "train.smi"
    smiles.write_text("CCO\n")
    output = tmp_path / "results"
    options = ["--dataset", str(tiny_dataset), "--training-smiles", str(smiles), "--output", str(output), "--quiet"]
    assert main(["--model", "zero", *options]) == 2
    assert f"--training-smiles {smiles}, but zero is a method without a training set" in capsys.readouterr().err
    assert not list(output.glob("**/predictions/*"))


@pytest.mark.parametrize("command", [["evaluate"], ["compare", "--model", "mmff94"]])
def test_a_repo_of_results_needs_a_push(command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [*command, "--model", "zero", "--results-repo", "org/results", "--output", str(tmp_path / "results")]
    assert main(arguments) == 2
    assert "--results-repo org/results without --push" in capsys.readouterr().err
    assert not (tmp_path / "results").exists()
