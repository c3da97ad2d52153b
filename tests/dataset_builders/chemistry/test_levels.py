import pytest

from dataset_builders.chemistry.levels import GFN2, LEVELS, LEVELS_BY_SUFFIX, find_level
from dataset_builders.core.errors import UsageError


def test_names_of_configurations():
    assert [level.config("task2") for level in LEVELS.values()] == ["task2", "task2-pbe", "task2-wb97x", "task2-wb97m"]
    assert LEVELS_BY_SUFFIX[""] is GFN2


def test_methods_are_named_as_models_name_them():
    from harness.networks.ani_ensembles import ENSEMBLES

    assert LEVELS["wb97x"].method == ENSEMBLES["ani2x_state_dict.pt"].level_of_theory


def test_an_unknown_level_is_named():
    with pytest.raises(UsageError, match="unknown level of theory 'b3lyp'; known levels: gfn2-xtb pbe-d3bj wb97x"):
        find_level("b3lyp")
