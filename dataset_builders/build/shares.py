"""Shares of a build for batch schedulers: every unit in exactly one, whoever computes them and whatever is done."""

from collections.abc import Sequence

from dataset_builders.build.cost import unit_cost
from dataset_builders.build.work_units import WorkUnit
from dataset_builders.engines.shares import Shard, share_of


def units_of_shard(units: Sequence[WorkUnit], shard: Shard) -> list[WorkUnit]:
    """The units of one share; shares differ in cost by less than the dearest unit.

    Args:
        units: Every unit of the edition, whether it is done or not: what is done changes while other shares run.
        shard: Which share.

    Returns:
        Units in the order of `units`.
    """
    return share_of(units, shard, cost=unit_cost, rank=lambda unit: unit)
