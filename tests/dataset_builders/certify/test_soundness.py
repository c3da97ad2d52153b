from dataclasses import replace
from pathlib import Path

import pytest

from dataset_builders.certify.soundness import require_sound
from dataset_builders.core.errors import UsageError
from dataset_builders.tasks.fragments import parse_fragment
from dataset_builders.tasks.regions import TASKS, Region
from dataset_builders.tasks.task_document import read_task_file

ETHERS = read_task_file(Path(__file__).parents[1] / "ethers.toml")
EXAMPLE = read_task_file(Path(__file__).parents[3] / "docs" / "examples" / "task5.toml")


@pytest.mark.parametrize("task", [*TASKS.values(), ETHERS, EXAMPLE], ids=lambda task: task.name)
def test_tasks_that_can_be_certified(task):
    require_sound([task])


def test_an_unseen_molecule_that_is_in_training_is_named():
    task = replace(ETHERS, train=(*ETHERS.train, Region(("OMe",), (2,), "vinyl")))
    with pytest.raises(UsageError, match="cannot be certified: its OOD molecules OMe-2-vinyl are in training"):
        require_sound([task])


def test_what_training_does_not_cover_is_named():
    task = replace(ETHERS, train=(Region(("OMe",), (2,), "H"),))
    message = r"training does not cover OMe-2-vinyl at radius 1; it lacks .* of OMe-2-vinyl\. Train on"
    with pytest.raises(UsageError, match=message):
        require_sound([task])


def test_a_name_is_one_molecule_in_all_tasks_of_a_folder():
    other = replace(ETHERS, name="others", fragments=(parse_fragment("OMe", "[*]OCC"), ETHERS.fragments[1]))
    with pytest.raises(UsageError, match="OMe-2-H is CCOC in ethers and CCOCC in others"):
        require_sound([ETHERS], beside=[other])
    require_sound([ETHERS], beside=[replace(ETHERS, name="others"), TASKS["task1"]])
