"""A task of one's own, as a user has it: a TOML file, and commands."""

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dataset_builders.chemistry.levels import GFN2, LEVELS
from dataset_builders.cli import main as builders
from dataset_builders.folder.schema import with_metadata
from dataset_builders.folder.task_folders import task_in, task_names
from dataset_builders.tasks.editions import SPLITS
from dataset_builders.tasks.task_document import read_task_file, task_metadata
from harness.cli import main as harness
from harness.data.dataset import open_dataset, open_levels
from harness.results.result import RunResult
from tests.dataset_builders.synthetic_folder import METADATA, path_of, rows_of, write_folder
from tests.packages import need

TASK_FILE = Path(__file__).parent / "dataset_builders" / "ethers.toml"
ETHERS = read_task_file(TASK_FILE)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The data-set folder of the task, built by the command."""
    root = tmp_path_factory.mktemp("ethers")
    arguments = ["build", "--task-file", str(TASK_FILE), "--edition", "5/5/5/5", "--workers", "1"]
    assert builders([*arguments, "--out", str(root / "data")]) == 0
    return root / "data"


def write_ethers(directory, task=ETHERS, level=GFN2):
    """The same folder in a moment, with springs for forces."""
    config = level.config(task.name)
    (directory / config).mkdir(parents=True)
    for split in SPLITS:
        schema = with_metadata(METADATA | {"level_of_theory": {"method": level.method}} | task_metadata(task))
        pq.write_table(pa.Table.from_pylist(rows_of(task, split), schema=schema), path_of(directory, config, split))
    return directory


def test_the_folder_is_all_that_is_needed(built, capsys):
    assert task_names(built) == ("ethers",)
    assert task_in(built, "ethers") == ETHERS
    assert builders(["certify", str(built)]) == 0
    shown = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["ethers", "2", "1", "0", "1/1"] in [words[:5] for words in shown]
    card = (built / "README.md").read_text()
    assert "Declared for ethers, with `[*]` for the bond to the chain: `OMe` (`[*]OC`), `vinyl` (`[*]C=C`)." in card
    assert "(X, k, Y), X ≠ Y in {OMe vinyl}, k in {2}" in card
    assert "fragment combination (task3)" not in card


def test_it_may_have_labels_of_another_level_here_and_on_the_hub(hub, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    level = LEVELS["wb97x"]
    data = write_ethers(write_ethers(Path("data")), level=level)
    files = {path.relative_to(data).as_posix(): path.read_bytes() for path in data.rglob("*.parquet")}
    hub.add_repo("org/ethers", "dataset", files)
    for text in ("data", "org/ethers", "hf://datasets/org/ethers"):
        base, other = open_levels(text)
        assert (base.tasks, base.level, other.tasks, other.level) == (("ethers",), GFN2, ("ethers",), level)
        assert base.task("ethers") == other.task("ethers") == ETHERS
        assert base.content_hash == open_dataset("data").content_hash != other.content_hash
        assert open_dataset(text, level) == other
    options = ["--model", "zero", "--task", "ethers", "--dataset", "hf://datasets/org/ethers", "--labels", "wb97x"]
    assert harness([*options, "--quiet"]) == 0
    (path,) = Path("results", "zero").glob("*/result.json")
    assert RunResult.load(path).dataset.config("ethers") == "ethers-wb97x"


def test_datasets_loads_it(built, tmp_path):
    from datasets import load_dataset

    loaded = load_dataset(str(built), "ethers", cache_dir=str(tmp_path))
    assert {name: split.num_rows for name, split in loaded.items()} == {
        "train": 10, "validation": 10, "test_id": 10, "test_ood": 5
    }  # fmt: skip
    assert set(loaded["test_ood"]["molecule_id"]) == {"OMe-2-vinyl"}


def test_a_model_is_trained_and_evaluated_on_it(built, tmp_path, capsys, monkeypatch):
    need("graph_pes", "the network needs graph-pes")
    monkeypatch.chdir(tmp_path)
    options = ["--dataset", str(built), "--epochs", "1", "--channels", "8", "--layers", "1"]
    assert harness(["train", "--arch", "painn", "--task", "ethers", *options, "--out", "net"]) == 0
    assert "trained on ethers (ether meets alkene)" in Path("net", "README.md").read_text()
    capsys.readouterr()
    assert harness(["--model", "net", "--model", "gfn1-xtb", "--dataset", str(built), "--quiet"]) == 0
    shown = capsys.readouterr().out
    assert shown.index("\nethers ether meets alkene") < shown.index("\ngfn1-xtb ")
    (path,) = Path("results", "gfn1-xtb").glob("*/result.json")
    result = RunResult.load(path)
    assert (result.tasks["ethers"].title, result.complete, result.overall_score) == ("ether meets alkene", False, None)
    assert harness(["report", str(path.parent)]) == 0
    assert "ether meets" in capsys.readouterr().out
    assert harness(["compare", str(path.parent), *map(str, Path("results", "net").glob("*"))]) == 0
    assert "ethers" in capsys.readouterr().out


def test_a_model_that_was_trained_on_another_task_of_that_name_is_refused(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first, other = write_ethers(Path("first")), Path("other")
    text = TASK_FILE.read_text().replace("spacers = [2]", "spacers = [3]")
    Path("other.toml").write_text(text)
    write_ethers(other, read_task_file(Path("other.toml")))
    assert harness(["train", "--arch", "additive", "--task", "ethers", "--dataset", str(first), "--out", "fit"]) == 0
    assert harness(["--model", "fit", "--dataset", str(first), "--quiet"]) == 0
    capsys.readouterr()
    assert harness(["--model", "fit", "--dataset", str(other), "--quiet"]) == 2
    assert (
        "was trained on a task ethers whose molecules differ from those that other declares" in capsys.readouterr().err
    )
    assert harness(["--model", "fit", "--dataset", "mini", "--task", "task1", "--quiet"]) == 2
    assert "was trained on ethers, so it cannot be tested on task1" in capsys.readouterr().err


def test_training_reads_the_declaration_from_no_test_split(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_ethers(Path("data"))
    for split in ("test_id", "test_ood"):
        path_of(Path("data"), "ethers", split).write_bytes(b"nobody reads this")
    assert harness(["train", "--arch", "additive", "--task", "ethers", "--dataset", "data", "--out", "fit"]) == 0


def test_the_four_tasks_come_first_and_alone_make_the_overall_score(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_folder(Path("data"), ("task2", "task4"))
    write_ethers(Path("data"))
    assert task_names(Path("data")) == ("task2", "task4", "ethers")
    assert builders(["certify", "data"]) == 0
    capsys.readouterr()
    assert harness(["--model", "zero", "--dataset", "data", "--quiet", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["tasks"]["task2"]["title"] is None
    assert document["tasks"]["ethers"]["title"] == "ether meets alkene"
    assert harness(["--model", "zero", "--dataset", "data", "--task", "ethers", "task4", "--quiet"]) == 0
    shown = capsys.readouterr().out
    assert shown.index("\ntask4 ") < shown.index("\nethers ")


def test_names_that_no_data_set_has(tmp_path, capsys):
    folder = str(write_ethers(tmp_path / "data"))
    for arguments in (["--model", "zero", "--quiet"], ["train", "--arch", "additive"], ["study", "--rows", "zero"]):
        option = "--tasks" if arguments[0] == "study" else "--task"
        assert harness([*arguments, "--dataset", folder, option, "task9"]) == 2
        shown = capsys.readouterr().err
        assert "unknown task 'task9'; known tasks" in shown
        assert "task1 task2 task3 task4 ethers" in shown


def test_a_folder_that_declares_no_task_is_refused(tmp_path, capsys):
    write_folder(tmp_path, ("task2",))
    shutil.copytree(tmp_path / "task2", tmp_path / "mine")
    assert harness(["--model", "zero", "--dataset", str(tmp_path), "--quiet"]) == 3
    assert "is a configuration of mine, but its metadata declare no task of that name" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"ethers"', '"task1"', "the tasks task1 task2 task3 task4 are fixed"),
        ('right = "other"', 'right = "H"', "its OOD molecules OMe-2-H, vinyl-2-H are in training"),
        (
            'left = ["OMe", "vinyl"]\nspacers = [2]\nright = "H"',
            'left = ["OMe"]\nspacers = [2]\nright = "H"',
            "radius 1",
        ),
        ('title = "', 'colour = "red"\ntitle = "', "colour: unknown key"),
    ],
)
def test_a_declaration_that_cannot_be_built_is_refused_before_any_computing(
    tmp_path, capsys, monkeypatch, old, new, message
):
    monkeypatch.chdir(tmp_path)
    Path("task.toml").write_text(TASK_FILE.read_text().replace(old, new, 1))
    assert builders(["build", "--task-file", "task.toml", "--out", "data"]) == 2
    assert message in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["task.toml"]


def test_two_files_of_one_name(tmp_path, capsys):
    arguments = ["build", "--task-file", str(TASK_FILE), str(TASK_FILE), "--out", str(tmp_path / "data")]
    assert builders(arguments) == 2
    assert "two of the task files declare ethers" in capsys.readouterr().err


def test_it_goes_round_the_hub(hub, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    hub.add_user("ann")
    hub.log_in("ann")
    write_folder(Path("data"), ("task4",))
    write_ethers(Path("data"))
    repo = "ann/ethers"
    assert builders(["publish", "data", repo]) == 0
    assert "ethers_score" in hub.files(repo, "dataset")["eval.yaml"].decode()
    assert harness(["--model", "zero", "--dataset", repo, "--task", "ethers", "--quiet", "--json"]) == 0
    document = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert document["tasks"]["ethers"]["title"] == "ether meets alkene"
    assert harness(["train", "--arch", "additive", "--task", "ethers", "--dataset", repo, "--out", "fit"]) == 0
    assert harness(["leaderboard", "--dataset", repo]) == 0
    hub.commit(repo, "dataset", {"data/train-00000.parquet": b"somebody else's"})
    shutil.rmtree(Path("data", "ethers"))
    assert builders(["publish", "data", repo]) == 2
    assert "ethers" in capsys.readouterr().err
    assert builders(["publish", "data", repo, "--remove"]) == 0
    names = hub.files(repo, "dataset")
    assert not any(name.startswith("ethers/") for name in names)
    assert "data/train-00000.parquet" in names
