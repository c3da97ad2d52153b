"""Checks from the words alone, before any computation, that declared tasks can be certified."""

from collections.abc import Sequence
from typing import Final

from dataset_builders.certify.coverage import REQUIRED_RADIUS, certify_task
from dataset_builders.chemistry.environments import environments
from dataset_builders.core.errors import UsageError
from dataset_builders.tasks.regions import Task

_SHOWN: Final = 10


def require_sound(tasks: Sequence[Task], beside: Sequence[Task] = ()) -> None:
    """Checks that each task has unseen and covered OOD molecules, and that a name means the same molecule in all tasks.

    Args:
        tasks: Tasks to build.
        beside: Other tasks of the same data-set folder.

    Raises:
        UsageError: If an OOD molecule is in training or has an environment that is not in training, or two tasks use
            one name for two molecules; the message names them.
    """
    _require_one_meaning((*tasks, *beside))
    for task in tasks:
        _require_certifiable(task)


def _require_one_meaning(tasks: Sequence[Task]) -> None:
    known: dict[str, tuple[str, str]] = {}
    for task in tasks:
        for word in (*task.train_words(), *task.ood_words()):
            smiles, other = known.setdefault(word.molecule_id, (word.smiles, task.name))
            if smiles != word.smiles:
                raise UsageError(
                    f"{word.molecule_id} is {smiles} in {other} and {word.smiles} in {task.name}; in a data-set "
                    "folder a name must mean one molecule: rename a fragment, or build the tasks into two folders"
                )


def _require_certifiable(task: Task) -> None:
    train = {word.molecule_id: word.smiles for word in task.train_words()}
    ood = {word.molecule_id: word.smiles for word in task.ood_words()}
    certificate = certify_task(task.name, task, train, ood)
    if certificate.shared:
        raise UsageError(
            f"{task.name} cannot be certified: its OOD molecules {_listed(certificate.shared)} are in training; "
            "change a region"
        )
    uncovered = next(each.uncovered for each in certificate.coverage if each.radius == REQUIRED_RADIUS)
    if uncovered:
        known = {each for smiles in train.values() for each in environments(smiles, REQUIRED_RADIUS)}
        missing = sorted(environments(ood[uncovered[0]], REQUIRED_RADIUS).keys() - known)
        raise UsageError(
            f"{task.name} cannot be certified: training does not cover {_listed(uncovered)} at radius "
            f"{REQUIRED_RADIUS}; it lacks {' and '.join(missing)} of {uncovered[0]}. Train on molecules with them"
        )


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    return shown + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
