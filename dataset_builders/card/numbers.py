"""The numbers on the leaderboard of the benchmark, with one id for each configuration and number.

The ids are in `eval.yaml` of the data set and in the results of every model, so they never change.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from dataset_builders.folder.configs import CONFIG
from dataset_builders.tasks.editions import SplitName


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
"""In the order of publication: the score first, since a leaderboard ranks by the first."""


def leaderboard_id(config: str, number: LeaderboardNumber) -> str:
    """The id of a number of a configuration, such as `task3_score`."""
    return f"{config}_{number.name}"


def parse_leaderboard_id(text: str) -> tuple[str, LeaderboardNumber] | None:
    """Configuration and number of an id; `None` if the id is not of this benchmark."""
    for number in NUMBERS:
        config = text.removesuffix(f"_{number.name}")
        if config != text and CONFIG.fullmatch(config):
            return config, number
    return None


def leaderboard_ids(configs: Sequence[str]) -> dict[str, tuple[str, LeaderboardNumber]]:
    """Configuration and number by id, in the order of publication, with the scores of all configurations first."""
    return {leaderboard_id(config, number): (config, number) for number in NUMBERS for config in configs}
