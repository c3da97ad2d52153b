"""What the table of known checkpoints adds to a model, and what outweighs it."""

from dataclasses import replace
from pathlib import Path

import pytest

from dataset_builders.core.errors import UsageError
from harness.core.known_checkpoints import known_checkpoints
from harness.core.potential import PotentialTraits
from harness.models.known import with_known_level
from harness.models.registry import ModelSource, find_family
from tests.harness.toy_potential import TRAITS

OFF = "wB97M-D3(BJ)/def2-TZVPPD"
(ANI_BYTES,) = next(row for row in known_checkpoints() if row.name == "ANI-2x").sha256.values()


def traits_of(**changes: object) -> PotentialTraits:
    return replace(TRAITS, **({"protocol": "zero-shot", "level_of_theory": None} | changes))


def source(model_id: str, path: Path | None, revision: str | None = None) -> ModelSource:
    return ModelSource(model_id, find_family("mace"), path, revision)


def known(traits: PotentialTraits, model: ModelSource, stated: str | None = None) -> tuple[str | None, ...]:
    found = with_known_level(traits, model, stated)
    return found.level_of_theory, found.known_as, found.known_by


def test_the_name_of_a_file_is_a_claim(tmp_path: Path) -> None:
    path = tmp_path / "MACE-OFF23_small.model"
    traits = traits_of(files={path.name: "0" * 64})
    assert known(traits, source(str(path), path)) == (OFF, "MACE-OFF23", "name")


def test_a_folder_or_a_repo_of_the_name_is_a_claim_and_a_file_in_it_is_not(tmp_path: Path) -> None:
    folder = tmp_path / "mace-off"
    folder.mkdir()
    path = folder / "run-3.model"
    traits = traits_of(files={path.name: "0" * 64})
    assert known(traits, source(str(folder), path)) == (OFF, "MACE-OFF23", "name")
    assert known(traits, source(str(path), path)) == (None, None, None)
    assert known(traits, source("org/mace-off", path, "abc")) == (OFF, "MACE-OFF23", "name")
    assert known(traits, source("org/mace-off/run-3.model", path, "abc")) == (None, None, None)


def test_what_the_user_states_outweighs_a_name_but_not_the_bytes(tmp_path: Path) -> None:
    path = tmp_path / "MACE-OFF23_small.model"
    claimed, proved = traits_of(files={path.name: "0" * 64}), traits_of(files={path.name: ANI_BYTES})
    assert known(claimed, source(str(path), path), "wb97x") == (None, None, None)
    assert known(proved, source(str(path), path), "pbe-d3bj") == ("wB97X/6-31G(d)", "ANI-2x", "sha256")


def test_a_model_that_names_another_level_itself_is_believed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "MACE-OFF23_small.model"
    traits = traits_of(files={path.name: "0" * 64}, level_of_theory="PBE")
    assert known(traits, source(str(path), path)) == ("PBE", None, None)
    assert "has the name of MACE-OFF23" in caplog.text


def test_controls_and_models_trained_on_a_task_stay_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "mace-off" / "MACE-OFF23_small.model"
    files = {path.name: "0" * 64}
    assert known(traits_of(protocol="control", files=files), source(str(path), path)) == (None, None, None)
    tuned = traits_of(protocol="fine-tuned", training="stated", level_of_theory="GFN2-xTB", files=files)
    assert known(tuned, source(str(path), path)) == ("GFN2-xTB", None, None)


def test_published_bytes_were_not_trained_from_scratch(tmp_path: Path) -> None:
    path = tmp_path / "mine.pt"
    traits = traits_of(protocol="from-scratch", training="stated", trained_on="task2", files={path.name: ANI_BYTES})
    with pytest.raises(UsageError, match=r"mine\.pt is ANI-2x, by the sha256 of its file, so it was not trained from"):
        with_known_level(replace(traits, model_id="mine.pt"), source("mine.pt", path), None)


def test_a_model_whose_weights_a_package_ships_is_known_by_its_name() -> None:
    model = ModelSource("7net-0", find_family("sevennet"), None)
    assert known(traits_of(files={"other.pth": "0" * 64}), model) == ("PBE/PBE+U (MPtrj)", "SevenNet-0", "name")
