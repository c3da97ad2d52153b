"""Shards of a build for batch schedulers: every unit is in exactly one, on every machine and at any progress."""

from collections.abc import Sequence

from dataset_builders.build.cost import unit_cost
from dataset_builders.build.work_units import WorkUnit
from dataset_builders.engines.shares import Shard, share_of


def units_of_shard(units: Sequence[WorkUnit], shard: Shard) -> list[WorkUnit]:
    """The units of one shard; shards differ in cost by less than the most expensive unit.

    Args:
        units: All units of the edition, finished or not, since progress changes while other shards run.
        shard: The shard.

    Returns:
        Units in the order of `units`.
    """
    return share_of(units, shard, cost=unit_cost, rank=lambda unit: unit)
