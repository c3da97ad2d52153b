"""The file `eval.yaml` of a data-set repo, which makes the Hub collect results into a leaderboard."""

import functools
import io
from collections.abc import Mapping, Sequence
from typing import Any, Final

from dataset_builders.card.metadata import PRETTY_NAME
from dataset_builders.card.numbers import NUMBERS, LeaderboardNumber, leaderboard_ids

EVAL_FILE: Final = "eval.yaml"

_PURPOSE: Final = (
    "Energies and forces that interatomic potentials predict for small organic molecules: for training molecules, "
    "and for unseen combinations of their parts (out of distribution, OOD). One id for each configuration "
    "and number. The numbers are"
)


def eval_yaml(configs: Sequence[str], evaluation_framework: str | None = None) -> str:
    """Writes the file.

    Args:
        configs: Configurations of the data set.
        evaluation_framework: A value of the Hub's list; it rejects a file with any other. Left out if `None`.
    """
    from ruamel.yaml import YAML

    data: dict[str, Any] = {
        "name": PRETTY_NAME,
        "description": " ".join([_PURPOSE, *(_in_words(number) for number in NUMBERS)]),
    }
    if evaluation_framework is not None:
        data["evaluation_framework"] = evaluation_framework
    data["tasks"] = [
        {"id": task_id, "config": config, "split": number.split}
        for task_id, (config, number) in leaderboard_ids(configs).items()
    ]
    yaml, text = YAML(), io.StringIO()
    yaml.width = 120
    yaml.dump(data, text)
    return text.getvalue()


def evaluation_framework_of(text: str) -> str | None:
    """The framework in a file; `None` if there is none or the file is not YAML."""
    found = _mapping(text).get("evaluation_framework")
    return None if found is None else str(found)


def configs_of(text: str) -> tuple[str, ...]:
    """The distinct configurations in a file; none if the file is not YAML."""
    listed = _mapping(text).get("tasks")
    tasks = listed if isinstance(listed, list) else []
    return tuple(dict.fromkeys(str(task["config"]) for task in tasks if isinstance(task, dict) and "config" in task))


@functools.lru_cache(maxsize=16)
def _mapping(text: str) -> Mapping[str, Any]:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        data = YAML(typ="safe").load(text)
    except YAMLError:
        return {}
    return data if isinstance(data, dict) else {}


def _in_words(number: LeaderboardNumber) -> str:
    unit = f"{number.unit}, " if number.unit else ""
    direction = "higher" if number.higher_is_better else "lower"
    return f"{number.name} ({unit}{direction} is better): {number.meaning}."
