"""The file `eval.yaml` of a data-set repo, which makes the Hub collect results into a leaderboard."""

import functools
import io
from collections.abc import Mapping, Sequence
from typing import Any, Final

from dataset_builders.card.metadata import PRETTY_NAME
from dataset_builders.card.numbers import OVERALL_ID, SCORE, leaderboard_ids
from dataset_builders.core.errors import DataError
from dataset_builders.core.yaml_bounds import bounded_yaml
from dataset_builders.tasks.regions import TASKS

EVAL_FILE: Final = "eval.yaml"

_PURPOSE: Final = (
    "Energies and forces that interatomic potentials predict for small organic molecules: for training molecules, "
    "and for unseen combinations of their parts (out of distribution, OOD). Each score is"
)
_RANKING: Final = (
    f"{OVERALL_ID} is the mean score of {', '.join(TASKS)}; a model without results on all of them has none. Errors "
    "and gaps are in the model-index and on the card of each model."
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
        "description": f"{_PURPOSE} {SCORE.meaning}; higher is better. {_RANKING}",
    }
    if evaluation_framework is not None:
        data["evaluation_framework"] = evaluation_framework
    data["tasks"] = [
        {"id": task_id, "config": config, "split": SCORE.split} for task_id, config in leaderboard_ids(configs).items()
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
    try:
        data = bounded_yaml(text, EVAL_FILE)
    except DataError:
        return {}
    return data if isinstance(data, dict) else {}
