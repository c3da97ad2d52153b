"""What a leaderboard shows of the benchmark: one id for each configuration and number.

The ids stand in `eval.yaml` of the data set and in the results of every model, so they never change.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from dataset_builders.folder.configs import CONFIG
from dataset_builders.tasks.editions import SplitName


@dataclass(frozen=True, slots=True)
class LeaderboardNumber:
    """One number of a task that is published.

    Attributes:
        name: Part of its id.
        split: Split that it is computed on.
        unit: Of the published value; empty for a number without one.
        meaning: In one line.
        higher_is_better: Direction; the Hub has no field for it.
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
        "0 to 100: share of the decades between a zero-force guess and 1 meV/Å that the OOD force error covers",
        higher_is_better=True,
    ),
    LeaderboardNumber("ood_force_mae", "test_ood", "meV/Å", "MAE of force components on unseen combinations"),
    LeaderboardNumber("id_force_mae", "test_id", "meV/Å", "MAE of force components on training molecules"),
    LeaderboardNumber("gap", "test_ood", "", "OOD force MAE divided by ID force MAE; read it beside the ID error"),
    LeaderboardNumber("ood_energy_mae", "test_ood", "meV", "MAE of relative energies on unseen combinations"),
    LeaderboardNumber("id_energy_mae", "test_id", "meV", "MAE of relative energies on training molecules"),
)
"""In the order of publication: the score first, since a leaderboard ranks by the first."""


def leaderboard_id(config: str, number: LeaderboardNumber) -> str:
    """The id of a number of a configuration, such as `task3_score`."""
    return f"{config}_{number.name}"


def parse_leaderboard_id(text: str) -> tuple[str, LeaderboardNumber] | None:
    """Configuration and number of an id; `None` where it is none of this benchmark."""
    for number in NUMBERS:
        config = text.removesuffix(f"_{number.name}")
        if config != text and CONFIG.fullmatch(config):
            return config, number
    return None


def leaderboard_ids(configs: Sequence[str]) -> dict[str, tuple[str, LeaderboardNumber]]:
    """Configuration and number by id, in the order of publication: the scores of all configurations come first."""
    return {leaderboard_id(config, number): (config, number) for number in NUMBERS for config in configs}
