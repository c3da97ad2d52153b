import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset_builders.build.cost import burst_cost, n_frames, unit_cost
from dataset_builders.build.shares import units_of_shard
from dataset_builders.build.work_units import WorkUnit, plan_units
from dataset_builders.core.errors import UsageError
from dataset_builders.engines.shares import MAX_SHARDS, Shard, parse_shard
from dataset_builders.tasks.editions import EDITIONS
from dataset_builders.tasks.regions import TASKS
from dataset_builders.tasks.words import parse_word

UNITS = plan_units(tuple(TASKS.values()), EDITIONS["mini"])


def test_cost_counts_orbitals_and_bursts():
    # H3C-OH: 4 hydrogens of 1 orbital, C and O of 4; CH3-Cl: 3 of 1, 4 and 9.
    assert burst_cost(parse_word("OH-1-H")) == 12**2 + 120
    assert burst_cost(parse_word("Cl-1-H")) == 16**2 + 120
    unit = WorkUnit(5, 8, "primary", parse_word("OH-1-H"))
    assert unit_cost(unit) == 3 * burst_cost(parse_word("OH-1-H"))
    assert n_frames(unit) == 15


@pytest.mark.parametrize("count", [1, 2, 7, 64])
def test_every_unit_is_in_one_shard_and_shards_cost_the_same(count):
    shards = [units_of_shard(UNITS, Shard(number, count)) for number in range(1, count + 1)]
    assert sorted(unit for shard in shards for unit in shard) == sorted(UNITS)
    costs = [sum(unit_cost(unit) for unit in shard) for shard in shards]
    assert max(costs) - min(costs) <= max(unit_cost(unit) for unit in UNITS)


def test_shards_do_not_depend_on_the_order_of_the_units():
    assert set(units_of_shard(UNITS[::-1], Shard(2, 3))) == set(units_of_shard(UNITS, Shard(2, 3)))


def test_more_shards_than_units_leave_some_empty():
    assert [len(units_of_shard(UNITS[:2], Shard(number, 4))) for number in (1, 2, 3, 4)] == [1, 1, 0, 0]


def test_as_many_shards_as_are_allowed_cost_no_more_than_their_units():
    most = [units_of_shard(UNITS, Shard(number, MAX_SHARDS)) for number in (1, len(UNITS), len(UNITS) + 1, MAX_SHARDS)]
    assert [len(units) for units in most] == [1, 1, 0, 0]
    assert units_of_shard(UNITS, Shard(2, 10**30)) == units_of_shard(UNITS, Shard(2, MAX_SHARDS))


@pytest.mark.parametrize("count", [str(MAX_SHARDS + 1), "999999999", "9" * 5000], ids=range(3))
def test_more_shards_than_anyone_has_are_refused(count):
    with pytest.raises(
        UsageError, match=r"--shard '1/(1000001|9+…?)': expected at most 1,000,000 shards; choose fewer"
    ):
        parse_shard(f"1/{count}")
    assert parse_shard(f"1/{MAX_SHARDS}") == Shard(1, MAX_SHARDS)


@given(st.integers(1, 10_000), st.integers(0, 10_000))
def test_a_shard_is_read_as_it_is_written(number, more):
    assert parse_shard(str(Shard(number, number + more))) == Shard(number, number + more)


@given(st.text().filter(lambda text: not re.fullmatch("[0-9]+/[0-9]+", text)))
def test_any_other_text_is_an_error_that_names_it(text):
    with pytest.raises(UsageError, match=re.escape(repr(text))):
        parse_shard(text)


@pytest.mark.parametrize("text", ["0/8", "9/8", "1", "1/2/3", "a/b", "-1/8", "1/0", "²/8", ""])
def test_what_is_no_shard_is_refused(text):
    with pytest.raises(UsageError, match="expected NUMBER/COUNT, from 1/8 to 8/8 for eight shards"):
        parse_shard(text)
