"""Which checkpoint a folder or repo holds, for the families there are and for those that may come."""

import json
from pathlib import Path
from typing import Final

import pytest

from dataset_builders.core.errors import ModelError
from harness.core.family import Family
from harness.models.detection import MAX_LISTED, Files, find_checkpoint
from harness.models.families import own_families

# Layouts of repos as they are on the Hub; a family that is not there yet stands here with the line that it would have.
NEQUIP: Final = Family("nequip", "no.module", "nequip", files=("*.nequip.zip", "*.nequip.pt2"))
ANI: Final = Family("ani", "no.module", "ani", files=("ani*_state_dict.pt",), tags=("ani-2x",))
AIMNET: Final = Family("aimnet", "no.module", "aimnet", folder=("config.json", "ensemble_*.safetensors"))
UMA: Final = Family("uma", "no.module", "fairchem", files=("*.pt",), library_names=("fairchem",), tags=("uma",))
MACE, OWN, ZERO = (
    next(family for family in own_families() if family.name == name) for name in ("mace", "graph-pes", "zero")
)
KNOWN: Final = (ZERO, MACE, OWN, NEQUIP, ANI, AIMNET)

OURS: Final = json.dumps({"format": "mlip-ood-checkpoint", "family": "graph-pes"})


def files_of(directory: Path, contents: dict[str, str]) -> Files:
    for name, text in contents.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return Files("org/name", tuple(sorted(contents)), directory.joinpath)


def empty(*names: str) -> dict[str, str]:
    return dict.fromkeys(names, "")


def card(text: str) -> dict[str, str]:
    return {"README.md": f"---\n{text}\n---\n# A model\n"}


@pytest.mark.parametrize(
    ("contents", "family", "path", "names"),
    [
        (empty("README.md", "small.model"), "mace", "small.model", ("small.model",)),
        (empty("weights/small.model"), "mace", "weights/small.model", ("weights/small.model",)),
        (empty("oam-s.nequip.zip", "notes.txt"), "nequip", "oam-s.nequip.zip", ("oam-s.nequip.zip",)),
        (empty("a.nequip.pt2"), "nequip", "a.nequip.pt2", ("a.nequip.pt2",)),
        (empty("ani2x_state_dict.pt"), "ani", "ani2x_state_dict.pt", ("ani2x_state_dict.pt",)),
        (
            {"config.json": "{}", **empty("ensemble_0.safetensors", "ensemble_1.safetensors", "other.bin")},
            "aimnet",
            ".",
            ("config.json", "ensemble_0.safetensors", "ensemble_1.safetensors"),
        ),
        (
            {"config.json": OURS, **empty("model.safetensors", "validation_curve.png")},
            "graph-pes",
            ".",
            ("config.json", "model.safetensors"),
        ),
    ],
)
def test_the_files_tell_the_family(
    tmp_path: Path, contents: dict[str, str], family: str, path: str, names: tuple[str, ...]
) -> None:
    found = find_checkpoint(files_of(tmp_path, contents), KNOWN)
    assert (found.family.name, found.path, found.names) == (family, path, names)


def test_the_folder_of_a_checkpoint_stands_for_its_history_too(tmp_path: Path) -> None:
    contents = {
        "config.json": OURS,
        "model.safetensors": "",
        "epoch-7/config.json": OURS,
        "epoch-7/model.safetensors": "",
    }
    assert find_checkpoint(files_of(tmp_path, contents), KNOWN).path == "."


def test_our_config_comes_before_the_card(tmp_path: Path) -> None:
    contents = {"config.json": OURS, **empty("model.safetensors", "other.model"), **card("library_name: mace")}
    assert find_checkpoint(files_of(tmp_path, contents), KNOWN).family.name == "graph-pes"


def test_the_user_comes_before_everything(tmp_path: Path) -> None:
    contents = {"config.json": OURS, **empty("model.safetensors", "other.model"), **card("library_name: graph-pes")}
    found = find_checkpoint(files_of(tmp_path, contents), KNOWN, MACE)
    assert (found.family.name, found.path) == ("mace", "other.model")


@pytest.mark.parametrize("text", ["library_name: FAIRChem", "library_name: unheard-of\ntags: [chemistry, UMA]"])
def test_the_card_decides_between_families_that_name_files_alike(tmp_path: Path, text: str) -> None:
    files = files_of(tmp_path, {**empty("ani2x_state_dict.pt"), **card(text)})
    assert find_checkpoint(files, (*KNOWN, UMA)).family.name == "uma"
    assert find_checkpoint(files, (*KNOWN, UMA), path="ani2x_state_dict.pt").family.name == "uma"


@pytest.mark.parametrize("readme", ["", "# No metadata", "---\n---\n", "---\ntags: uma\n---\n"])
def test_a_card_that_says_nothing_leaves_it_to_the_user(tmp_path: Path, readme: str) -> None:
    files = files_of(tmp_path, {"ani2x_state_dict.pt": "", "README.md": readme})
    for path in (".", "ani2x_state_dict.pt"):
        with pytest.raises(ModelError, match="may belong to the families ani and uma; choose one with --family"):
            find_checkpoint(files, (*KNOWN, UMA), path=path)
        assert find_checkpoint(files, (*KNOWN, UMA), UMA, path).family.name == "uma"


def test_a_tag_without_its_files_is_a_mere_word(tmp_path: Path) -> None:
    files = files_of(tmp_path, {**empty("small.model"), **card("tags: [ani-2x, benchmark]")})
    assert find_checkpoint(files, KNOWN).family.name == "mace"


def test_several_checkpoints_are_listed_with_the_way_to_pick_one(tmp_path: Path) -> None:
    files = files_of(tmp_path, empty("large.model", "old/small.model", "small.model"))
    message = (
        r"org/name contains 3 checkpoints of the family mace: large\.model, old/small\.model, small\.model\. "
        r"Choose one: --model org/name/large\.model"
    )
    with pytest.raises(ModelError, match=message):
        find_checkpoint(files, KNOWN)
    assert find_checkpoint(files, KNOWN, path="old/small.model").names == ("old/small.model",)


def test_a_folder_can_be_picked(tmp_path: Path) -> None:
    contents = {f"{task}/{name}": OURS for task in ("task1", "task2") for name in ("config.json", "model.safetensors")}
    files = files_of(tmp_path, contents)
    found = find_checkpoint(files, KNOWN, path="task2")
    assert (found.path, found.names) == ("task2", ("task2/config.json", "task2/model.safetensors"))
    assert find_checkpoint(files, KNOWN, path="task1/config.json").path == "task1"
    with pytest.raises(ModelError, match=r"graph-pes: task1, task2\. Choose one: --model org/name/task1"):
        find_checkpoint(files, KNOWN, OWN)


def test_a_picked_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"org/name has no file or folder 'b\.model'; its files: a\.model\. Check"):
        find_checkpoint(files_of(tmp_path, empty("a.model")), KNOWN, path="b.model")


def test_a_picked_file_of_a_named_family_may_have_any_name(tmp_path: Path) -> None:
    files = files_of(tmp_path, empty("weights.bin"))
    with pytest.raises(ModelError, match=r"weights\.bin ends in '\.bin', which is not a known checkpoint; .* --family"):
        find_checkpoint(files, KNOWN, path="weights.bin")
    assert find_checkpoint(files, KNOWN, MACE, "weights.bin").names == ("weights.bin",)
    with pytest.raises(
        ModelError, match=r"not a known checkpoint; expected config\.json \+ model\.safetensors \(family gr"
    ):
        find_checkpoint(files, KNOWN, OWN, "weights.bin")


@pytest.mark.parametrize("contents", [empty("notes.txt", "small.model"), {"config.json": "{}", **empty("x.model")}])
def test_a_family_whose_files_are_absent_says_what_it_needs(tmp_path: Path, contents: dict[str, str]) -> None:
    message = r"org/name lacks what the family aimnet needs: config\.json \+ ensemble_\*\.safetensors; its files: "
    with pytest.raises(ModelError, match=message):
        find_checkpoint(files_of(tmp_path, contents), KNOWN, AIMNET)


def test_a_card_whose_files_are_absent_says_what_it_needs(tmp_path: Path) -> None:
    files = files_of(tmp_path, {**empty("pytorch_model.bin"), **card("library_name: mace-torch")})
    with pytest.raises(
        ModelError, match=r"lacks what the family mace needs: \*\.model; its files: README\.md, pytorch"
    ):
        find_checkpoint(files, KNOWN)


def test_a_repo_without_a_checkpoint_lists_its_files_and_the_families(tmp_path: Path) -> None:
    names = [f"part-{number:02}.bin" for number in range(MAX_LISTED + 4)]
    message = (
        r"org/name contains no checkpoint of a known family; its files: part-00\.bin, .*part-09\.bin and 4 more; "
        r"expected \*\.model \(family mace\); config\.json \+ model\.safetensors \(family graph-pes\); "
        r".*Name the family with --family, or give the path of the checkpoint itself"
    )
    with pytest.raises(ModelError, match=message):
        find_checkpoint(files_of(tmp_path, empty(*names)), KNOWN)


def test_the_files_of_another_project_are_not_ours(tmp_path: Path) -> None:
    contents = {"config.json": json.dumps({"model_type": "bert"}), "model.safetensors": ""}
    with pytest.raises(ModelError, match=r"config\.json has format None; expected 'mlip-ood-checkpoint'"):
        find_checkpoint(files_of(tmp_path, contents), KNOWN)


def test_metadata_that_are_no_yaml_are_named(tmp_path: Path) -> None:
    files = files_of(tmp_path, {**empty("small.model"), **card("tags: [mace")})
    with pytest.raises(
        ModelError, match=r"cannot read the metadata of org/name/README\.md: .*--family, which needs no"
    ):
        find_checkpoint(files, KNOWN)
    assert find_checkpoint(files, KNOWN, MACE).path == "small.model"


@pytest.mark.parametrize(
    "text", ["a: " + "[" * 2000, "a: !!float x", "a: 2026-99-99", "a: !!timestamp 2026-99-99", "a: &a [*a]", "- mace"]
)
def test_a_card_that_no_parser_can_take_is_named_too(tmp_path: Path, text: str) -> None:
    files = files_of(tmp_path, {**empty("small.model"), **card(text)})
    with pytest.raises(ModelError, match=r"cannot read the metadata of org/name/README\.md: .*--family"):
        find_checkpoint(files, KNOWN)


@pytest.mark.parametrize(
    "text", ['{"format":' * 3000, "9" * 5000, "\udc80", '{"format": "\\ud800"}', " " * (17 * 2**20)], ids=range(5)
)
def test_a_config_that_no_parser_can_take_is_named(tmp_path: Path, text: str) -> None:
    files = files_of(tmp_path, empty("small.model"))
    (tmp_path / "config.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    files = Files(files.place, (*files.names, "config.json"), files.bring)
    with pytest.raises(ModelError, match=r"cannot read org/name/config\.json: .*; expected a JSON object"):
        find_checkpoint(files, KNOWN)


def test_long_text_of_a_config_is_cut(tmp_path: Path) -> None:
    config = json.dumps({"format": "mlip-ood-checkpoint", "family": "x" * 50_000})
    with pytest.raises(ModelError, match=r"has family 'x{60}…'; expected one of"):
        find_checkpoint(files_of(tmp_path, {"config.json": config}), KNOWN)
