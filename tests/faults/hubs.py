"""Commands that read from a Hub that is slow, wrong, silent or changing, and that write to one."""

import hashlib
import json
import logging
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.faults.hub_cases import Action, Case, cases
from tests.faults.phases import DATASET, MODEL
from tests.faults.tally import Tally
from tests.faults.undisturbed import Ended, differences, run
from tests.loopback_hub import HubState, LoopbackHub
from tests.loopback_hub.__main__ import USER
from tests.loopback_hub.server import HOST, ServerThread

_SECONDS: Final = 900.0
"""Longest time of a command; its own limits are seconds for each answer."""
_TASK: Final = "task4"


@dataclass(frozen=True, slots=True)
class _Place:
    """A folder that a command runs in, and a Hub with what it starts from."""

    folder: Path
    hub: LoopbackHub


def hub_faults(only: str = "") -> Iterator[Tally]:
    """Runs each case; gives its counts.

    Args:
        only: Part of the titles of the cases to run.
    """
    # Requests that wait for an answer that never comes are ended with their Hub, about which the server complains.
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    server = ServerThread()
    expected: dict[Action, Mapping[str, str]] = {}
    try:
        for case in cases():
            if only not in case.title:
                continue
            if case.action not in expected:
                with _place(server, case.action) as place:
                    _must(_run(case.action, place, "runpy"))
                    expected[case.action] = _found(case.action, place)
            yield _try(case, server, expected[case.action])
    finally:
        server.stop()


def _try(case: Case, server: ServerThread, expected: Mapping[str, str]) -> Tally:
    tally = Tally(
        case.title, {"struck": 0, "refused": 0, "went on": 0, "same end": 0}, struck=("struck",), needed=("same end",)
    )
    start = time.monotonic()
    with _place(server, case.action) as place:
        for fault in case.faults(place.hub):
            place.hub.order(fault)
        try:
            ended = _run(case.action, place)
        except subprocess.TimeoutExpired as cause:
            output = (cause.stdout or b"").decode() if isinstance(cause.stdout, bytes) else cause.stdout
            tally.lost([f"it hangs: {str(output)[-2000:]}"])
            return tally
        tally.add("struck", place.hub.n_struck())
        tally.add("refused" if ended.code else "went on")
        tally.lost(_unclear(case, ended))
        place.hub.forget_faults()
        if ended.code:
            ended = _run(case.action, place, "runpy")
            tally.lost([] if ended.code == 0 else [f"then without it: {ended.output[-2000:]}"])
        if ended.code == 0:
            found = [*differences(expected, _found(case.action, place))]
            tally.lost(found)
            tally.add("same end", not found)
    tally.seconds = time.monotonic() - start
    return tally


def _unclear(case: Case, ended: Ended) -> Iterator[str]:
    """What is wrong with the end of a command."""
    shown = ended.output[-2500:]
    if "Traceback (most recent call last)" in ended.output:
        yield f"it ended with a traceback: {shown}"
    elif ended.code and case.end == "same":
        yield f"it was refused: {shown}"
    elif not ended.code and case.end == "refused":
        yield "it went on as if nothing had happened"
    elif ended.code and len([line for line in ended.output.splitlines() if line.startswith("error: ")]) != 1:
        yield f"it was refused without one clear message: {shown}"


def _run(action: Action, place: _Place, how: str = "tests.faults.impatient") -> Ended:
    """Runs a command, impatiently or as it is."""
    data = f"hf://datasets/{DATASET}" if action == "stream" else DATASET
    if action == "push":
        (result,) = (place.folder / "results").glob("*/*/result.json")
        words = ["harness", "push", str(result.parent), "--results-repo", "compgen/results"]
    elif action == "publish":
        words = ["dataset_builders", "publish", "data", DATASET]
    else:
        model = MODEL if action == "model" else "mmff94"
        words = ["harness", "--model", model, "--dataset", data, "--task", _TASK, "--quiet", "--isolation", "never"]
    command = [sys.executable, "-m", how, *words]
    return run(command, place.folder, place.hub.endpoint, _SECONDS)


def _found(action: Action, place: _Place) -> dict[str, str]:
    """What must be the same whatever happened to the Hub."""
    if action == "publish":
        return _repo(place.hub, DATASET, "dataset")
    if action == "push":
        return _repo(place.hub, MODEL, "model")
    found = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (place.folder / "results").rglob("*.parquet")
    }
    (result,) = (place.folder / "results").rglob("result.json")
    document = json.loads(result.read_text())
    first = place.hub.history(DATASET, "dataset")[-1].sha
    found["commit of the data"] = "the first" if document["dataset"]["revision"] == first else "another"
    return found | {"tasks": hashlib.sha256(json.dumps(document["tasks"]).encode()).hexdigest()}


def _repo(hub: LoopbackHub, repo: str, kind: str) -> dict[str, str]:
    """Files of a repo, those with dates or addresses in them by name only, and the titles of its commits."""
    from tests.faults.phases import tells_when

    files = hub.files(repo, kind)  # type: ignore[arg-type]
    found = {name: "there" if tells_when(name) else hashlib.sha256(each).hexdigest() for name, each in files.items()}
    return found | {"commits": str([commit.title for commit in hub.history(repo, kind)])}  # type: ignore[arg-type]


@contextmanager
def _place(server: ServerThread, action: Action) -> Iterator[_Place]:
    with socket.create_server((HOST, 0)) as free:
        port = free.getsockname()[1]
    folder = Path(tempfile.mkdtemp(prefix="mlip-ood-faults-"))
    state = HubState(f"http://{HOST}:{port}", users={USER.name: USER})
    place = _Place(folder, LoopbackHub(state, lambda token: None))
    try:
        with server.serving(state, port):
            _prepare(action, place)
            yield place
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _prepare(action: Action, place: _Place) -> None:
    from dataset_builders.folder.mini import MINI_DIRECTORY
    from tests.harness.small_checkpoint import write_small_checkpoint

    if action in ("publish", "push"):
        shutil.copytree(MINI_DIRECTORY, place.folder / "data", ignore=shutil.ignore_patterns("task[123]*"))
    if action == "publish":
        return
    if action == "push":
        # Results are pushed for a data set that was published, and not only put there.
        _must(_run("publish", place, "runpy"))
    else:
        files = sorted((MINI_DIRECTORY / _TASK).glob("*.parquet"))
        place.hub.add_repo(DATASET, "dataset", {f"{_TASK}/{path.name}": path.read_bytes() for path in files})
    if action in ("model", "push"):
        model = write_small_checkpoint(place.folder / "checkpoint", _TASK)
        place.hub.add_repo(MODEL, "model", {path.name: path.read_bytes() for path in sorted(model.iterdir())})
    if action == "push":
        _must(_run("model", place, "runpy"))


def _must(ended: Ended) -> None:
    assert ended.code == 0, ended.output
