"""The phases of the road that are killed: a command for each, and what it must leave behind."""

import hashlib
import json
import os
import sys
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.loopback_hub.__main__ import USER
from tests.loopback_hub.users import token_of

ROOT: Final = Path(__file__).parents[2]
DATASET: Final = "compgen/mlip-ood"
MODEL: Final = "compgen/small-painn"
TOKEN: Final = token_of(USER.name)
_OWN_TIME: Final = frozenset({"created", "cost"})
"""Keys of `result.json` that tell when and how fast a run was; all other bytes must be those of an undisturbed run."""

_CLOCK: Final = frozenset({"seconds", "wall_time_s"})
"""Keys of the config of a checkpoint that tell how long its training took."""


@dataclass(frozen=True, slots=True)
class Phase:
    """One phase.

    Attributes:
        name: Its name.
        command: The command, given the folder that it works in; the same after each kill.
        digest: What must be the same as after an undisturbed run, given the folder.
        on_hub: Whether the command sends something to the loopback Hub, which is fresh for each folder.
        prepare: Makes what the command starts from, once for each folder.
        is_done: Whether the command has finished in a folder, for one that refuses to run again then.
        out: The files and folders that the command writes there; none if it writes to the Hub alone.
        kept: Patterns of the files of finished work, which a command that goes on does not compute again.
        n_processes: Processes that torchrun starts for it.
    """

    name: str
    command: Callable[[Path], list[str]]
    digest: Callable[[Path], Mapping[str, str]]
    on_hub: bool = False
    prepare: Callable[[Path], None] = lambda folder: None
    is_done: Callable[[Path], bool] = lambda folder: False
    out: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    n_processes: int = 1


def phases() -> tuple[Phase, ...]:
    """All phases, in the order of the road."""
    shards = "results/**/predictions/*.parquet"
    return (
        Phase("build", _build, _files("out", "*.parquet"), out=("out", "out.work"), kept=("out.work/*/*.parquet",)),
        Phase(
            "relabel", _module("tests.faults.small_relabel"), _files("relabelled", "*.parquet"),
            out=("relabelled", "work"), kept=("work/*/*.labels",),
        ),
        Phase("import", _import, _files("imported", "*.parquet"), prepare=_write_trajectories, out=("imported",)),
        Phase("predict", _evaluate("--isolation", "never"), _result_of("results"), out=("results",), kept=(shards,)),
        Phase(
            "predict in a worker", _evaluate("--isolation", "always"), _result_of("results"),
            out=("results",), kept=(shards,),
        ),
        Phase(
            "predict in two processes", _in_two_processes, _result_of("results"), out=("results",), kept=(shards,),
            n_processes=2,
        ),
        Phase("train", _train, _checkpoint, is_done=_is_trained, out=("checkpoint",)),
        Phase("study", _study, _records, out=("records", "study.work")),
        Phase(
            "publish", _module("dataset_builders", "publish", "mini", DATASET), _on_hub(DATASET, "dataset"), on_hub=True
        ),
        Phase("push", _push, _on_hub(MODEL, "model"), on_hub=True, prepare=_evaluate_on_hub),
    )  # fmt: skip


def environment(folder: Path, hub: str | None) -> dict[str, str]:
    """Environment of a command: a cache and a home of its own, and the loopback Hub if it needs one."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    home = folder / "home"
    home.mkdir(parents=True, exist_ok=True)
    found = kept | {
        "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }  # fmt: skip
    return found | ({"HF_HUB_OFFLINE": "1"} if hub is None else {"HF_ENDPOINT": hub, "HF_TOKEN": TOKEN})


def _module(*words: str) -> Callable[[Path], list[str]]:
    return lambda folder: [sys.executable, "-m", *words]


def _evaluate(*words: str) -> Callable[[Path], list[str]]:
    return _module("harness", "--model", "mmff94", "--task", "task4", "--quiet", "--batch-atoms", "256", *words)


def _build(folder: Path) -> list[str]:
    molecules = ("--molecule", "OH-2-H", "SH-2-H", "OH-6-H")
    words = ["build", "--task", "task1", "--edition", "5/5/5/5", *molecules, "--workers", "2", "--out", "out"]
    return [sys.executable, "-m", "dataset_builders", *words]


def _import(folder: Path) -> list[str]:
    files = sorted(path.name for path in folder.glob("*.extxyz"))
    words = ["import", *files, "--task-map", "map.toml", "--out", "imported"]
    return [sys.executable, "-m", "dataset_builders", *words]


def _in_two_processes(folder: Path) -> list[str]:
    run = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    return [*run, *_evaluate("--device", "cpu")(folder)[2:]]


def _train(folder: Path) -> list[str]:
    words = ["train", "--arch", "painn", "--task", "task4", "--steps", "60", "--channels", "8", "--layers", "1"]
    return [sys.executable, "-m", "harness", *words, "--validations", "6", "--compile", "never", "--out", "checkpoint"]


def _is_trained(folder: Path) -> bool:
    checkpoint = folder / "checkpoint"
    # The best weights so far stand there while the state of the training stands beside them.
    return (checkpoint / "model.safetensors").exists() and not (checkpoint / "training_state.safetensors").exists()


def _study(folder: Path) -> list[str]:
    words = ["study", "--rows", "mmff94", "additive", "--tasks", "task4", "--seeds", "0", "--out", "records"]
    return [sys.executable, "-m", "harness", *words]


def _push(folder: Path) -> list[str]:
    (run,) = (folder / "results").glob("*/*/result.json")
    return [sys.executable, "-m", "harness", "push", str(run.parent), "--results-repo", "compgen/results"]


def _write_trajectories(folder: Path) -> None:
    from tests.dataset_builders.importing.test_imported_edition import ETHERS, MAP, write_trajectory

    before = Path.cwd()
    os.chdir(folder)
    try:
        for word in (*ETHERS.train_words(), *ETHERS.ood_words()):
            for trajectory in ("primary", "secondary"):
                write_trajectory(word, trajectory)
    finally:
        os.chdir(before)
    (folder / "map.toml").write_text(MAP)


def _evaluate_on_hub(folder: Path) -> None:
    """Publishes mini and a small checkpoint, and evaluates the one on the other."""
    from tests.faults.undisturbed import finish
    from tests.harness.small_checkpoint import write_small_checkpoint

    write_small_checkpoint(folder / "checkpoint", "task1")
    hub = (folder / "hub-address").read_text()
    for words in (
        ("dataset_builders", "publish", "mini", DATASET),
        ("model_cards", "publish", "checkpoint", MODEL),
        ("harness", "--model", MODEL, "--dataset", DATASET, "--task", "task1", "--quiet"),
    ):
        finish([sys.executable, "-m", *words], folder, hub)


def _files(folder: str, *patterns: str) -> Callable[[Path], dict[str, str]]:
    """sha256 of the files of a folder."""

    def digest(root: Path) -> dict[str, str]:
        paths = sorted(path for pattern in patterns for path in (root / folder).rglob(pattern))
        return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}

    return digest


def _checkpoint(root: Path) -> dict[str, str]:
    """The weights of a checkpoint, and its config without the time that the training took."""
    found = _files("checkpoint", "*.safetensors")(root)
    # Wall-clock seconds are all that two runs of one training may differ in.
    text = (root / "checkpoint/config.json").read_text()
    config = json.loads(text, object_hook=lambda each: {key: each[key] for key in each if key not in _CLOCK})
    return found | {"config.json": hashlib.sha256(json.dumps(config).encode()).hexdigest()}


def _result_of(folder: str) -> Callable[[Path], dict[str, str]]:
    """The predictions of a run, and its result without what tells when and how fast it was."""

    def digest(root: Path) -> dict[str, str]:
        found = _files(folder, "*.parquet")(root)
        for path in sorted((root / folder).rglob("result.json")):
            result = json.loads(path.read_text())
            kept = {key: value for key, value in result.items() if key not in _OWN_TIME}
            found[str(path.relative_to(root))] = hashlib.sha256(json.dumps(kept).encode()).hexdigest()
        return found

    return digest


def _records(root: Path) -> dict[str, str]:
    """The numbers of the records of a study."""
    found = {}
    for path in sorted((root / "records").rglob("runs.jsonl")):
        for line in path.read_text().splitlines():
            record = json.loads(line)
            numbers = {key: record[key] for key in ("splits", "gap", "score") if key in record}
            name = f"{record.get('row')} {record.get('task')} {record.get('seed')}"
            assert name not in found, f"{name} is recorded twice"
            found[name] = hashlib.sha256(json.dumps(numbers, sort_keys=True).encode()).hexdigest()
    return found


def _on_hub(repo: str, kind: str) -> Callable[[Path], dict[str, str]]:
    """Files of a repo by their hashes, and the number of commits that changed it."""

    def digest(root: Path) -> dict[str, str]:
        # Not the client, which this process may use offline.
        info = _asked(root, f"/api/{kind}s/{repo}?blobs=true")
        commits = _asked(root, f"/api/{kind}s/{repo}/commits/main")
        files = {each["rfilename"]: each.get("lfs", {}).get("sha256") or each["blobId"] for each in info["siblings"]}
        kept = {name: "present" if tells_when(name) else value for name, value in files.items()}
        return kept | {"commits": str([commit["title"] for commit in commits])}

    return digest


def _asked(root: Path, path: str) -> Any:
    address = (root / "hub-address").read_text() + path
    request = urllib.request.Request(address, headers={"Authorization": f"Bearer {TOKEN}"})
    # Without the proxy of the surroundings.
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as answer:
        return json.load(answer)


def tells_when(name: str) -> bool:
    """Whether a file holds a date or a commit of another repo, which differ between two Hubs."""
    return name in ("README.md", "mlip-ood.json") or name.startswith(".eval_results/")
