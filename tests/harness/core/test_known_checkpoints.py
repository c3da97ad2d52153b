"""The table of known checkpoints: its rows, and what is recognised by name or by bytes."""

import re

import pytest

from dataset_builders.chemistry.levels import LEVELS
from harness.core.known_checkpoints import checkpoints_in, known_checkpoints, known_models, level_of_file, recognise
from harness.models.families import own_families
from harness.potentials import chgnet

ROWS = {row.name: row for row in known_checkpoints()}
GOOD = """[[checkpoint]]
name = "X"
family = "mace"
source = "paper"
level = "PBE"
"""


@pytest.mark.parametrize("name", ROWS)
def test_each_row_recognises_its_examples_and_no_other_does(name: str) -> None:
    row = ROWS[name]
    assert row.examples
    for example in row.examples:
        found = recognise({example: ""}) or recognise({"model.model": ""}, f"org/{example}")
        assert found is not None
        assert (found.checkpoint, found.by) == (row, "name")


def test_names_are_unique_and_families_exist() -> None:
    assert len(ROWS) == len(known_checkpoints())
    # SO3LR is read by a calculator of its package.
    assert {row.family for row in known_checkpoints()} <= {family.name for family in own_families()} | {"so3lr"}
    for row in known_checkpoints():
        assert all(re.fullmatch("[0-9a-f]{64}", each) for each in row.sha256.values())


@pytest.mark.parametrize(
    "name",
    [
        *("mace-off23-small-finetuned.model", "my-mace-off.model", "uma-s-1p1-tuned.pt", "model.model"),
        *("orb-v2-finetuned.ckpt", "ani2x_state_dict_mine.pt", "aimnet2_wb97m_d3_9.pt"),
    ],
)
def test_a_name_that_goes_on_is_another_model(name: str) -> None:
    assert recognise({name: ""}) is None
    assert recognise({"x": ""}, f"org/{name}") is None


def test_bytes_outweigh_a_name() -> None:
    (sha256,) = ROWS["ANI-2x"].sha256.values()
    found = recognise({"MACE-OFF23_small.model": sha256})
    assert found is not None
    assert (found.checkpoint.name, found.by) == ("ANI-2x", "sha256")


def test_the_name_of_a_file_outweighs_that_of_its_repo() -> None:
    found = recognise({"mace-mp-0b3-medium.model": ""}, "org/mace-off")
    assert found is not None
    assert found.checkpoint.name == "MACE-MP-0"


def test_a_level_that_depends_on_the_head_needs_one() -> None:
    uma = ROWS["UMA"]
    assert uma.level_of("omol") == "wB97M-V/def2-TZVPD"
    assert uma.level_of("omat") == "PBE/PBE+U (OMat24)"
    assert uma.level_of(None) is None
    assert uma.level_of("mine") is None
    assert ROWS["eSEN OMol25"].level_of(None) == "wB97M-V/def2-TZVPD"
    assert level_of_file("fairchem", "UMA-S-1p1.pt", "omc") == "PBE-D3 (OMC25)"
    assert level_of_file("mace", "uma-s-1p1.pt", "omol") is None


@pytest.mark.parametrize(
    ("name", "level"), [("MACE-OFF23", "wb97m-d3bj"), ("PET-SPICE", "wb97m-d3bj"), ("ANI-2x", "wb97x")]
)
def test_levels_that_have_labels_are_spelt_as_those(name: str, level: str) -> None:
    assert ROWS[name].level == {each.name: each for each in LEVELS.values()}[level].method


def test_adapters_take_their_levels_from_the_table() -> None:
    assert {name: weights.level_of_theory for name, weights in chgnet.METHODS.items()} == dict(known_models("chgnet"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD + 'colour = "red"', "X has colour = 'red'"),
        (GOOD + 'charge = "maybe"', "X has charge = 'maybe'"),
        (GOOD + "files = 3", "X has files = 3"),
        (GOOD + 'licence = " "', "X has licence = ' '"),
        (GOOD.replace("source", "training"), "X lacks source"),
        (GOOD.replace("level", "licence"), "X lacks one of level and levels"),
    ],
)
def test_a_bad_row_is_named(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        checkpoints_in(text)
