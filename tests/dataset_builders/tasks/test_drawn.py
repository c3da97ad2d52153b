from pathlib import Path

from dataset_builders.tasks.drawn import drawn_fragments, drawn_of_task
from dataset_builders.tasks.regions import TASKS, Region, Task
from dataset_builders.tasks.task_document import read_task_file


def made_task(train: tuple[Region, ...], ood: tuple[Region, ...]) -> Task:
    return Task("made", "made", "productivity", train, ood, has_subsets=False, origin="a test")


def test_the_four_tasks_draw_ten_eight_six_and_four_fragments() -> None:
    n_drawn = {
        name: len({each for ends in drawn_fragments(task).values() for each in ends}) for name, task in TASKS.items()
    }
    assert n_drawn == {"task1": 10, "task2": 8, "task3": 6, "task4": 4}


def test_a_molecule_has_the_fragments_that_its_region_chooses() -> None:
    assert drawn_fragments(TASKS["task1"])["OH-6-H"] == ("OH",)
    assert drawn_fragments(TASKS["task1"])["H-6-H"] == ("H",)
    assert drawn_fragments(TASKS["task2"])["OH-6-OH"] == ("OH",)
    assert drawn_fragments(TASKS["task3"])["NH2-6-OH"] == ("NH2", "OH")
    assert drawn_fragments(TASKS["task3"])["OH-6-H"] == ("OH",)


def test_plain_chains_are_the_design_where_no_ood_region_draws_them() -> None:
    for name in ("task2", "task3", "task4"):
        found = drawn_fragments(TASKS[name])
        assert {ends for molecule, ends in found.items() if molecule.startswith("H-")} == {()}


def test_a_right_end_that_is_named_is_the_design() -> None:
    task = made_task((Region(("OH", "SH"), (2,), "CN"),), (Region(("OH", "SH"), (6,), "CN"),))
    assert drawn_fragments(task) == {"CN-2-OH": ("OH",), "CN-2-SH": ("SH",), "CN-6-OH": ("OH",), "CN-6-SH": ("SH",)}


def test_a_fragment_of_training_alone_is_drawn_too() -> None:
    task = made_task((Region(("H", "OH", "SH", "F"), (2,), "H"),), (Region(("OH", "SH"), (6,), "H"),))
    assert drawn_fragments(task)["F-2-H"] == ("F",)
    assert drawn_fragments(task)["H-2-H"] == ()


def test_one_fragment_alone_leaves_molecules_to_be_drawn() -> None:
    task = made_task((Region(("OH",), (2, 3), "H"),), (Region(("OH",), (6, 8), "H"),))
    drawn = drawn_of_task(task)
    assert drawn.kind == "molecule"
    assert drawn.by_molecule == {name: (name,) for name in ("OH-2-H", "OH-3-H", "OH-6-H", "OH-8-H")}


def test_a_declared_task_draws_its_own_fragments() -> None:
    task = read_task_file(Path("docs/examples/task5.toml"))
    drawn = drawn_of_task(task)
    assert drawn.kind == "fragment"
    assert set(drawn.by_molecule) == {word.molecule_id for word in (*task.train_words(), *task.ood_words())}
