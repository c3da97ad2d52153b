"""Names and paths of potentials, and what is said about those that are none."""

import dataclasses
import importlib
import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dataset_builders.core.errors import MissingPackageError, ModelError, UsageError
from harness.compute.elements import require_elements
from harness.core.potential import LoadOptions
from harness.models import registry
from harness.models.families import own_families
from harness.models.registry import identify, known_names, load_potential
from tests.harness.potentials.molecules import molecules


def checkpoint(directory: Path, **config: Any) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (directory / "model.safetensors").touch()
    return directory


@pytest.mark.parametrize(
    ("name", "family"), [("gfn2-xtb", "xtb"), ("gfn1-xtb", "xtb"), ("mmff94", "mmff94"), ("zero", "zero")]
)
def test_a_known_name_is_a_method_without_a_checkpoint(name: str, family: str) -> None:
    identity = identify(name)
    assert (identity.family.name, identity.path) == (family, None)
    assert load_potential(name, LoadOptions()).traits.model_id == name


@pytest.mark.parametrize("family", ["ase", "torchsim", "mace"])
def test_a_known_name_has_its_own_family_and_its_path_the_named_one(
    family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in known_names():
        assert identify(name, family) == identify(name)
    Path("zero").mkdir()
    Path("reference").write_text("mine")
    assert identify("zero", family).family.name == "zero"
    for name in ("./zero", "./reference"):
        found = identify(name, "ase")
        assert (found.model_id, found.family.name, found.path) == (name, "ase", Path(name))


def test_every_name_is_listed_once() -> None:
    assert len(set(known_names())) == len(known_names())
    assert {"gfn2-xtb", "gfn1-xtb", "mmff94", "zero", "reference", "chgnet", "7net-0"} <= set(known_names())


def test_every_adapter_is_importable_without_its_package() -> None:
    for family in own_families():
        assert callable(importlib.import_module(family.module).load), family.name


def test_identifying_imports_nothing_heavy(tmp_path: Path) -> None:
    (tmp_path / "some.model").touch()
    program = (
        "import sys\n"
        "from harness.models.registry import identify\n"
        f"identify({str(tmp_path / 'some.model')!r}); identify('gfn2-xtb')\n"
        "print(sorted({'torch', 'mace', 'rdkit', 'tblite', 'ase', 'graph_pes'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_a_model_file_is_mace(tmp_path: Path) -> None:
    path = tmp_path / "some.model"
    path.touch()
    assert identify(str(path)).family.name == "mace"
    assert identify(str(path)).path == path


def test_a_checkpoint_is_known_by_its_directory_or_its_files(tmp_path: Path) -> None:
    directory = checkpoint(tmp_path / "trained", format="mlip-ood-checkpoint", family="graph-pes")
    for path in (directory, directory / "config.json", directory / "model.safetensors"):
        identity = identify(str(path))
        assert (identity.family.name, identity.path) == ("graph-pes", directory)


def test_the_reference_is_the_directory_inside_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert registry.REFERENCE_DIRECTORY.parts[-3:] == ("harness", "networks", "reference")
    monkeypatch.setattr(registry, "REFERENCE_DIRECTORY", tmp_path / "reference")
    with pytest.raises(ModelError, match="lacks the reference checkpoint"):
        identify("reference")
    checkpoint(tmp_path / "reference", format="mlip-ood-checkpoint", family="graph-pes")
    assert identify("reference").family.name == "graph-pes"


def test_a_name_comes_before_a_file_of_that_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    checkpoint(tmp_path / "zero", format="mlip-ood-checkpoint", family="graph-pes")
    assert identify("zero").path is None
    assert identify("./zero").family.name == "graph-pes"


def test_a_potential_answers_to_the_string_that_the_user_gave(mace_checkpoint: Path) -> None:
    spelling = str(mace_checkpoint.parent / ".." / mace_checkpoint.parent.name / mace_checkpoint.name)
    potential = load_potential(spelling, LoadOptions(device="cpu", trust_checkpoint=True))
    assert potential.traits.model_id == spelling


def test_a_renamed_potential_computes_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    renamed = dataclasses.replace(identify("zero").family, methods=("nothing",))
    monkeypatch.setattr(registry, "own_families", lambda: (renamed,))
    potential = load_potential("nothing", LoadOptions())
    assert potential.traits.model_id == "nothing"
    assert not potential.compute(molecules()).forces.any()


def test_an_unknown_name_lists_the_known_ones() -> None:
    message = r"unknown model 'gfn2'; known names: chgnet .* zero reference, the path of a checkpoint, or a"
    with pytest.raises(UsageError, match=message):
        identify("gfn2")


@pytest.mark.parametrize("model", ["./no/such/place", "/no/such.model", "no.model", "a/b/c", "org/name"])
def test_an_absent_path_is_named(model: str) -> None:
    with pytest.raises(UsageError, match=r"there is no file or directory .*; give the path"):
        identify(model)


def test_a_path_that_the_system_does_not_take_is_named() -> None:
    with pytest.raises(UsageError, match=r"cannot look for 'xxx.* give the path of a checkpoint"):
        identify("x" * 5000)


def test_a_directory_without_a_checkpoint_is_named(tmp_path: Path) -> None:
    message = r"contains no checkpoint of a known family; its files: none; expected .*\*\.model \(family mace\)"
    with pytest.raises(ModelError, match=message):
        identify(str(tmp_path))


def test_a_directory_without_the_weights_is_named(tmp_path: Path) -> None:
    directory = checkpoint(tmp_path, format="mlip-ood-checkpoint", family="graph-pes")
    (directory / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"lacks what the family graph-pes needs: config\.json \+ model\.safetensors"):
        identify(str(directory))


def test_a_directory_is_taken_as_a_repo_of_the_hub_would_be(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "hidden.model").touch()
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "small.model").touch()
    source = identify(str(tmp_path))
    assert (source.family.name, source.path) == ("mace", tmp_path / "weights" / "small.model")
    (tmp_path / "large.model").touch()
    with pytest.raises(
        ModelError, match=r"contains 2 checkpoints of the family mace: large\.model, weights/small\.model"
    ):
        identify(str(tmp_path))


def test_a_directory_of_very_many_files_is_not_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "MOST_FILES", 3)
    for number in range(4):
        (tmp_path / f"{number}.txt").touch()
    with pytest.raises(ModelError, match="contains more than 3 files; give the path of the checkpoint itself"):
        identify(str(tmp_path))


def test_a_pointer_of_git_lfs_is_distinguished_from_the_file(tmp_path: Path) -> None:
    pointer = tmp_path / "small.model"
    pointer.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 4\n")
    for model in (tmp_path, pointer):
        with pytest.raises(ModelError, match=r"small\.model is a Git LFS pointer, not the file itself; run `git lfs"):
            identify(str(model))


def test_a_family_may_be_named(tmp_path: Path) -> None:
    path = tmp_path / "weights.bin"
    path.touch()
    assert identify(str(path), "mace").family.name == "mace"
    assert identify("gfn1-xtb", "mace").family.name == "xtb"


@pytest.mark.parametrize("family", ["gemnet", "xtb", ""])
def test_a_family_that_reads_no_checkpoints_is_refused(tmp_path: Path, family: str) -> None:
    with pytest.raises(UsageError, match=f"no family '{family}' reads checkpoints; families that do: .*mace"):
        identify(str(tmp_path), family)


def test_a_config_that_is_no_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{", encoding="utf-8")
    with pytest.raises(ModelError, match=r"cannot read .*config\.json: .*; expected a JSON object"):
        identify(str(tmp_path))


@pytest.mark.parametrize("config", [{}, {"format": "other"}])
def test_a_config_of_another_format_is_named(tmp_path: Path, config: dict[str, str]) -> None:
    with pytest.raises(ModelError, match=r"has format .*; expected 'mlip-ood-checkpoint'"):
        identify(str(checkpoint(tmp_path, **config)))


@pytest.mark.parametrize("family", ["nequip", "mace", None, ["graph-pes"]])
def test_an_unknown_family_is_named(tmp_path: Path, family: object) -> None:
    with pytest.raises(ModelError, match=r"has family .*; expected one of: additive graph-pes"):
        identify(str(checkpoint(tmp_path, format="mlip-ood-checkpoint", family=family)))


@pytest.mark.parametrize("name", ["weights.ckpt", "weights"])
def test_an_unknown_suffix_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    with pytest.raises(ModelError, match=r"which is not a known checkpoint; expected .*\*\.model \(family mace\)"):
        identify(str(tmp_path / name))


def test_a_missing_package_comes_with_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "some.model").touch()
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(MissingPackageError, match=r"'mace', which is not installed.*mlip-ood\[mace\]"):
        load_potential(str(tmp_path / "some.model"), LoadOptions())


@given(st.text(max_size=40))
@example("~\x00")
@example("~0")
def test_any_text_is_identified_or_refused_politely(model: str) -> None:
    try:
        identity = identify(model)
    except (UsageError, ModelError):
        return
    assert identity.family in own_families()


def test_missing_elements_are_named_with_their_molecules() -> None:
    traits = dataclasses.replace(load_potential("zero", LoadOptions()).traits, elements=frozenset({1, 6}))
    require_elements(traits, np.array([1, 6]), ["CH", "CH"])
    with pytest.raises(ModelError, match=r"no parameters for O Cl, which C=O, CCl contain\(s\); it supports H C\."):
        require_elements(traits, np.array([6, 8, 6, 17, 8]), ["C=O", "C=O", "CCl", "CCl", "C=O"])


def test_only_the_first_molecules_are_named() -> None:
    traits = dataclasses.replace(load_potential("zero", LoadOptions()).traits, elements=frozenset({1}))
    names = [f"molecule-{number}" for number in range(8)]
    with pytest.raises(ModelError, match="molecule-4 and 3 more contain"):
        require_elements(traits, np.full(8, 6), names)
