"""The published numbers of the benchmark, and the ids under which the Hub ranks them.

The Hub ranks by one id, the first of `eval.yaml` by default, higher values first; it has no field for the direction. So
only scores have ids there: the overall score first, then the score of each configuration. Errors and gaps, where lower
is better, go to the `model-index` and the card of a model. The ids are in the results of every model, so they never
change.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from dataset_builders.folder.configs import CONFIG
from dataset_builders.tasks.editions import SplitName
from dataset_builders.tasks.regions import RESERVED_NAME, TASKS


@dataclass(frozen=True, slots=True)
class LeaderboardNumber:
    """A published number of a task.

    Attributes:
        name: Part of its id.
        split: Split on which it is computed.
        unit: Unit of the published value; empty for a dimensionless number.
        meaning: Description in one line.
        higher_is_better: Direction of the ranking; the Hub has no field for it.
    """

    name: str
    split: SplitName
    unit: str
    meaning: str
    higher_is_better: bool = False


NUMBERS: Final = (
    LeaderboardNumber(
        "score",
        "test_ood",
        "",
        "0 to 100: percentage of the decades from the zero-force error to 1 meV/Å that the OOD force error covers",
        higher_is_better=True,
    ),
    LeaderboardNumber("ood_force_mae", "test_ood", "meV/Å", "MAE of force components on unseen combinations"),
    LeaderboardNumber("id_force_mae", "test_id", "meV/Å", "MAE of force components on training molecules"),
    LeaderboardNumber("gap", "test_ood", "", "OOD force MAE divided by ID force MAE; read it with the ID error"),
    LeaderboardNumber("ood_energy_mae", "test_ood", "meV", "MAE of relative energies on unseen combinations"),
    LeaderboardNumber("id_energy_mae", "test_id", "meV", "MAE of relative energies on training molecules"),
)
"""In the order of publication."""

SCORE: Final = NUMBERS[0]
"""The only number with an id on the Hub."""

OVERALL_ID: Final = f"{RESERVED_NAME}_{SCORE.name}"
"""Id of the mean score of the four tasks; a model that lacks one of them has no such entry."""


def number_id(config: str, number: LeaderboardNumber) -> str:
    """The id of a number of a configuration, such as `task3_score`; on the Hub, only scores have one."""
    return f"{config}_{number.name}"


def parse_number_id(text: str) -> tuple[str, LeaderboardNumber] | None:
    """Configuration and number of an id; `None` if it is no number of a configuration, as the overall score."""
    for number in NUMBERS:
        config = text.removesuffix(f"_{number.name}")
        if text not in (config, OVERALL_ID) and CONFIG.fullmatch(config):
            return config, number
    return None


def leaderboard_ids(configs: Sequence[str]) -> dict[str, str]:
    """The ids of a data set on the Hub with the configuration of each, in the order of publication.

    Args:
        configs: Configurations of the data set, or of a result.

    Returns:
        The overall score, if the four tasks are there, then the score of each configuration. The overall score belongs
        to several configurations; the Hub shows one, the first of the four.
    """
    overall = {OVERALL_ID: next(iter(TASKS))} if set(TASKS) <= {*configs} else {}
    return overall | {number_id(config, SCORE): config for config in configs}
