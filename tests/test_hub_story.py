"""The whole way round the Hub, as users go it: commands of the project and unmodified clients, nothing else."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from dataset_builders.card.numbers import leaderboard_ids
from dataset_builders.cli import main as builders
from dataset_builders.folder.mini import MINI_DIRECTORY
from dataset_builders.tasks.regions import TASKS
from harness.cli import main as harness
from model_cards.cli import main as cards
from tests.harness.small_checkpoint import write_small_checkpoint
from tests.packages import need

DATASET = "compgen/mlip-ood"
MODEL = "compgen/small-painn"
RESULTS = "compgen/results"

STRANGERS_ENTRY = """\
# measured by a stranger, on something else
- name: a stranger's model
  results:
  - task: {type: graph-ml}   # as the stranger likes to write it
    dataset: {type: stranger/water, name: Water}
    metrics:
    - {type: mae, value: 0.5, name: 'density, g/cm3'}
"""

LOAD = """
import json
from datasets import load_dataset

task3 = load_dataset("compgen/mlip-ood", "task3")
pinned = load_dataset("compgen/mlip-ood", "task3", revision="v1.0", split="test_ood")
stream = list(load_dataset("compgen/mlip-ood", "task3", split="test_ood", streaming=True))
path = "hf://datasets/compgen/mlip-ood@v1.0/task3/test_ood-*.parquet"
direct = load_dataset("parquet", data_files=path, split="train")
assert {name: split.num_rows for name, split in task3.items()} == {
    "train": 700, "validation": 140, "test_id": 280, "test_ood": 300
}
assert stream == pinned.to_list() == direct.to_list() == task3["test_ood"].to_list()
"""

READ_TRACE = f"""
numbers = load_dataset({RESULTS!r}, split="train")
print(json.dumps([[row["task"], row["number"], row["value"]] for row in numbers if row["number"] == "score"]))
print(load_dataset({RESULTS!r}, "predictions", split="train").num_rows)
"""

need("graph_pes", "the checkpoint needs graph-pes")


@pytest.fixture
def checkpoint(tmp_path):
    """A checkpoint for task1, whose scores the Hub ranks by; its weights are random."""
    return write_small_checkpoint(tmp_path / "checkpoint", "task1")


@pytest.fixture
def run(hub, tmp_path, monkeypatch, capsys):
    """Runs Python as ann does, who may write to the organisation, in a folder and with a cache of her own.

    `run.here` runs a command of the project in this process, which spares the seconds of its imports.
    """
    token = hub.add_user("ann", orgs={"compgen": "write"})
    hub.log_in("ann")
    monkeypatch.chdir(tmp_path)
    environment = {**os.environ, "HF_TOKEN": token, "HF_HOME": str(tmp_path / "huggingface")}
    shown = []

    def call(*arguments):
        finished = subprocess.run(
            [sys.executable, *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )
        shown.append(finished.stdout + finished.stderr)
        assert finished.returncode == 0, shown[-1]
        return finished.stdout

    def here(main, *arguments):
        code = main(arguments)
        out, err = capsys.readouterr()
        shown.append(out + err)
        assert code == 0, shown[-1]
        return out

    call.here = here
    yield call
    assert not any(token in text for text in shown)
    kept = [path for path in tmp_path.rglob("*") if path.is_file() and token.encode() in path.read_bytes()]
    assert kept == []


def test_the_whole_story(hub, run, checkpoint, tmp_path):
    published = run.here(builders, "publish", "mini", DATASET, "--revision-tag", "v1.0")
    assert f'load_dataset("{DATASET}", "task3")' in published
    assert hub.tags(DATASET, "dataset")["v1.0"] == hub.history(DATASET, "dataset")[0].sha

    run.here(cards, "publish", str(checkpoint), MODEL)
    card = hub.files(MODEL, "model")["README.md"].decode()
    hub.commit(
        MODEL, "model", {"README.md": card.replace("---\n\n#", f"model-index:\n{STRANGERS_ENTRY}---\n\n#").encode()}
    )

    evaluate = ("-m", "harness", "--model", MODEL, "--dataset", DATASET, "--push", "--quiet", "--results-repo", RESULTS)
    table = run(*evaluate)
    assert f"{hub.endpoint}/{MODEL}/commit/{hub.history(MODEL, 'model')[0].sha}" in table
    check_what_was_pushed(hub, tmp_path)
    check_what_the_clients_read(hub, run)

    n_commits = len(hub.history(MODEL, "model"))
    (directory,) = (tmp_path / "results").glob("*/*")
    assert "unchanged" in run.here(harness, "push", str(directory), "--results-repo", RESULTS)
    check_the_trace(hub, run, directory)
    pinned = f"{MODEL}@{hub.history(MODEL, 'model')[1].sha}"
    assert "unchanged" in run.here(harness, "--model", pinned, *evaluate[4:])
    assert len(hub.history(MODEL, "model")) == n_commits
    ranking = run.here(harness, "leaderboard", "--dataset", DATASET)
    assert MODEL in ranking
    assert "task1: chain extension" in ranking


def check_what_was_pushed(hub, folder: Path) -> None:
    (path,) = (folder / "results").glob("*/*/result.json")
    result = json.loads(path.read_text())
    assert result["dataset"]["revision"] == hub.history(DATASET, "dataset")[0].sha
    assert result["model"]["revision"] == hub.history(MODEL, "model")[1].sha
    files = hub.files(MODEL, "model")
    entries = yaml.safe_load(files[".eval_results/mlip-ood-mini.yaml"])
    declared = [task["id"] for task in yaml.safe_load(hub.files(DATASET, "dataset")["eval.yaml"])["tasks"]]
    configs = sorted(path.name for path in MINI_DIRECTORY.iterdir() if path.is_dir())
    assert set(TASKS) < set(configs)
    assert declared == list(leaderboard_ids(configs))
    assert declared[0] == "overall_score"
    assert [entry["dataset"]["task_id"] for entry in entries] == ["task1_score"]
    assert entries[0]["value"] == round(result["tasks"]["task1"]["score"]["value"], 2)
    card = files["README.md"].decode()
    assert STRANGERS_ENTRY in card
    assert "mini is the demonstration and test edition" in card
    assert "<!-- mlip-ood:begin" in card
    assert f"--model {MODEL}@{result['model']['revision']}" in card


def check_the_trace(hub, run, directory: Path) -> None:
    """The results repo holds the whole run, once; its viewer reads it, and anybody can compute the numbers again."""
    assert [each.title for each in hub.history(RESULTS, "dataset")] == ["Add results of mlip-ood", "initial commit"]
    files = hub.files(RESULTS, "dataset")
    (name,) = {path.split("/")[1] for path in files if path.startswith("entries/")}
    run_folder = f"entries/{name}/runs/{directory.name}"
    assert files[f"{run_folder}/result.json"] == (directory / "result.json").read_bytes()
    entry = yaml.safe_load(hub.files(MODEL, "model")[".eval_results/mlip-ood-mini.yaml"])[0]
    url = f"{hub.endpoint}/datasets/{RESULTS}/tree/main/entries/{name}"
    assert entry["source"] == {"url": url, "name": "mlip-ood", "org": "compgen"}
    assert "packages" not in entry["notes"]
    printed = run("-c", LOAD + READ_TRACE)
    numbers, n_predictions = printed.splitlines()
    score = json.loads(files[f"{run_folder}/result.json"])["tasks"]["task1"]["score"]["value"]
    assert json.loads(numbers) == [["task1", "score", round(score, 2)]]
    kept = [pq.read_metadata(path).num_rows for path in (directory / "predictions").glob("*.parquet")]
    assert int(n_predictions) == sum(kept)
    for place in (RESULTS, url):
        assert f"{name}: sound" in run.here(harness, "verify", place, "--dataset", DATASET)


def check_what_the_clients_read(hub, run) -> None:
    hub.allow_list(DATASET)
    printed = run(
        "-c",
        "import json\n"
        "from huggingface_hub import HfApi\n"
        f"info = HfApi().model_info({MODEL!r}, expand=['evalResults'])\n"
        f"board = HfApi().get_dataset_leaderboard({DATASET!r})\n"
        "print(json.dumps([[each.task_id, each.value] for each in info.eval_results]))\n"
        "print(json.dumps([[each.rank, each.model_id] for each in board]))\n",
    )
    entries, board = (json.loads(line) for line in printed.splitlines())
    assert [name for name, _ in entries] == ["task1_score"]
    # The Hub ranks by the overall score, which needs all four tasks.
    assert board == []
