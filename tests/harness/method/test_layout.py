from pathlib import Path

import pytest

from dataset_builders.core.errors import ModelError, UsageError
from dataset_builders.tasks.regions import TASKS
from harness.method.layout import Leaf, find_layout, look_among, look_here
from harness.models.registry import families


def made(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        if name.endswith("/"):
            path.mkdir(parents=True, exist_ok=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x")
    return root


def layouts_of(root: Path):
    """The layout as it is found in a folder, and in a repo of the same files."""
    names = [path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()]
    return [
        find_layout("method", look, TASKS.keys(), families())
        for look in (look_here(root), look_among(names), look_among([f"a/b/{name}" for name in names], "a/b"))
    ]


def test_tasks_and_seeds_are_found_in_order(tmp_path):
    made(tmp_path, "task2/seed10/m.model", "task2/seed2/m.model", "task1/m.model", "notes/todo.txt", ".git/config")
    made(tmp_path, "README.md", "task2/figures/a.png", "task2/notes.txt", "task2/.cache/x")
    for found in layouts_of(tmp_path):
        assert found.leaves == (Leaf("task1", None), Leaf("task2", 2), Leaf("task2", 10))
        assert [leaf.path for leaf in found.leaves] == ["task1", "task2/seed2", "task2/seed10"]
        assert found.left_out == ("notes", "task2/figures")


@pytest.mark.parametrize("name", ["task9", "Task1", "task_1", "task-2", "task1-pbe", "tasks1"])
def test_a_folder_named_almost_like_a_task_is_refused(tmp_path, name):
    made(tmp_path, "task2/m.model", f"{name}/m.model")
    with pytest.raises(
        UsageError, match=f"contains the folder '{name}', whose name is not a task; expected names among"
    ):
        layouts_of(tmp_path)


@pytest.mark.parametrize("name", ["seed_x", "Seed1", "seed-1", "seed01", "seed", "seeds", "seed1.bak", "seed 1"])
def test_a_folder_named_almost_like_a_seed_is_refused(tmp_path, name):
    made(tmp_path, "task2/seed0/m.model", f"task2/{name}/m.model")
    with pytest.raises(UsageError, match=f"task2 contains the folder '{name}', whose name is not a seed"):
        layouts_of(tmp_path)


@pytest.mark.parametrize("name", ["seedlings", "multitask1", "taskforce"])
def test_other_folders_are_left_out(tmp_path, name):
    made(tmp_path, "task2/seed0/m.model", f"task2/{name}/m.model", f"{name}/m.model")
    assert layouts_of(tmp_path)[0].left_out == (name, f"task2/{name}")


@pytest.mark.parametrize("beside", [("m.model",), ("config.json", "model.safetensors")])
def test_a_checkpoint_beside_seeds_is_refused(tmp_path, beside):
    made(tmp_path, "task2/seed0/m.model", *(f"task2/{name}" for name in beside))
    with pytest.raises(UsageError, match=f"task2 contains both the checkpoint {beside[0]} and the folder seed0"):
        layouts_of(tmp_path)


def test_an_empty_folder_is_none(tmp_path):
    with pytest.raises(UsageError, match=r"is not a method: it contains no task folder .*its folders: none.*--model"):
        layouts_of(tmp_path)
    made(tmp_path, "painn/task1/m.model")
    with pytest.raises(UsageError, match="its folders: painn"):
        layouts_of(tmp_path)
    made(tmp_path, "task1/")
    with pytest.raises(UsageError, match="task1 is empty; expected a checkpoint, or folders seed0"):
        find_layout("method", look_here(tmp_path), TASKS.keys(), families())


def test_links_to_folders_count_and_broken_ones_are_refused(tmp_path):
    made(tmp_path / "elsewhere", "m.model")
    root = made(tmp_path / "method", "task1/")
    (root / "task1/seed0").symlink_to(tmp_path / "elsewhere")
    (root / "task2").symlink_to(tmp_path / "elsewhere")
    found = find_layout("method", look_here(root), TASKS.keys(), families())
    assert found.leaves == (Leaf("task1", 0), Leaf("task2", None))
    (root / "task1/seed1").symlink_to(tmp_path / "nowhere")
    with pytest.raises(ModelError, match="seed1 is a broken link"):
        find_layout("method", look_here(root), TASKS.keys(), families())
