import json
import shutil
from pathlib import Path

import pytest

from dataset_builders.tasks.regions import TASKS
from harness.cli import main
from harness.networks.checkpoint_format import CONFIG_FILE, WEIGHTS_FILE
from harness.networks.finished import STATE_FILE
from harness.train.options import folder_of, parser
from tests.harness.method.four_tasks import SMALL, write_four_tasks
from tests.harness.train.test_training_leaks import watched
from tests.packages import need

SHORT = ("--steps", "2", "--validations", "1")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """A data set of four tasks; whoever reads its test files as Parquet fails."""
    directory = write_four_tasks(tmp_path_factory.mktemp("four") / "data")
    for path in directory.rglob("test_*"):
        path.write_bytes(b"not Parquet")
    return directory


@pytest.fixture
def train(dataset, tmp_path, capsys):
    def call(*arguments, code=0, out="method", data=None):
        capsys.readouterr()
        options = ("--all-tasks", "--dataset", str(data or dataset), "--out", str(tmp_path / out))
        assert main(["train", *options, *arguments]) == code
        return capsys.readouterr()

    return call


def weights(root: Path) -> dict[str, bytes]:
    return {path.parent.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob(WEIGHTS_FILE))}


def test_each_task_and_seed_is_trained_once_and_what_is_finished_stays(train, tmp_path, dataset):
    need("graph_pes", "the networks need graph-pes")
    network = ("--arch", "painn", *SMALL, *SHORT)
    root = tmp_path / "method"
    with watched(dataset) as opened:
        printed = train(*network, "--seeds", "0")
    assert opened == []
    assert f"evaluate the method: python -m harness --method {root}" in printed.out
    first = weights(root)
    assert list(first) == [f"{task}/seed0" for task in TASKS]
    for task in TASKS:
        config = json.loads((root / task / "seed0" / CONFIG_FILE).read_text())
        assert (config["trained_on"], config["training"]["settings"]["seed"]) == (task, 0)
        assert (root / task / "seed0" / "README.md").is_file()

    # One of them was stopped on the way: a state lies beside its checkpoint, or nothing was written yet.
    shutil.rmtree(root / "task3/seed0")
    printed = train(*network, "--seeds", "0", "3")
    assert "task1/seed0 is finished (1 of 8)" in printed.out
    assert printed.out.count("is finished") == 3
    assert printed.out.count("training ") == 5
    found = weights(root)
    assert list(found) == [f"{task}/seed{seed}" for task in TASKS for seed in (0, 3)]
    assert {place: found[place] for place in first} == first
    assert len(set(found.values())) == 8

    refused = train(*network, "--seeds", "0", "--channels", "6", code=2)
    assert "contains a finished model whose arguments is {'channels': 8" in refused.err
    refused = train("--arch", "painn", *SMALL, "--steps", "3", "--validations", "1", code=2)
    assert "task1/seed0 contains a finished model whose steps is 2; expected 3" in refused.err
    refused = train("--arch", "additive", code=0, out="other")
    assert weights(root) == found


def test_a_model_with_the_state_of_a_training_beside_it_is_not_taken_for_finished(train, tmp_path):
    need("graph_pes", "the networks need graph-pes")
    network = ("--arch", "painn", *SMALL, *SHORT, "--seeds", "0")
    train(*network)
    root = tmp_path / "method"
    whole = weights(root)
    config = root / "task2/seed0" / CONFIG_FILE
    (root / "task2/seed0" / STATE_FILE).write_bytes(b"damaged")
    refused = train(*network, code=3)
    assert "task2/seed0" in refused.err
    (root / "task2/seed0" / STATE_FILE).unlink()
    assert config.is_file()
    assert weights(root) == whole


def test_other_data_are_refused_before_the_first_training(train, tmp_path, dataset):
    train("--arch", "additive")
    root = tmp_path / "method"
    assert list(weights(root)) == [*TASKS]
    assert train("--arch", "additive").out.count("is finished") == 4
    other = shutil.copytree(dataset, tmp_path / "data")
    shutil.copy(other / "task1/train-00000-of-00001.parquet", other / "task4/train-00000-of-00001.parquet")
    refused = train("--arch", "additive", data=other, code=2)
    assert "task4 contains a finished model whose content of the training data is" in refused.err
    shutil.rmtree(other / "task2")
    refused = train("--arch", "additive", out="new", data=other, code=3)
    assert "task2" in refused.err
    assert not (tmp_path / "new").exists()
    refused = train("--arch", "knn", code=2)
    assert "architecture is additive; expected knn" in refused.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--all-tasks", "--seeds", "1", "1"), "--seeds 1 1; expected distinct numbers of 0 or more"),
        (("--all-tasks", "--seeds", "-1"), "--seeds -1; expected distinct numbers"),
        (("--all-tasks", "--arch", "additive", "--seeds", "0"), "has no effect on --arch additive"),
        (("--task", "task1", "--seeds", "0"), "--seeds 0 without --all-tasks"),
    ],
)
def test_contradictions_are_refused(arguments, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["train", *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_one_task_or_all(capsys):
    for arguments in ((), ("--task", "task1", "--all-tasks")):
        with pytest.raises(SystemExit, match="2"):
            parser().parse_args([*arguments])
    assert "--all-tasks" in capsys.readouterr().err


def test_the_folder_by_default():
    names = [
        folder_of(parser().parse_args(["--all-tasks", *arguments])).as_posix()
        for arguments in ((), ("--arch", "mace", "--labels", "pbe-d3bj"), ("--arch", "painn", "--delta", "gfn1-xtb"))
    ]
    assert names == ["checkpoints/painn-method", "checkpoints/mace-method-pbe", "checkpoints/painn-on-gfn1-xtb-method"]
