"""A Hub on this machine for tests of what goes to the Hub and comes from it."""

import atexit
import gc
import importlib
import os
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import hypothesis
import pytest

if TYPE_CHECKING:
    from tests.loopback_hub import LoopbackHub
    from tests.loopback_hub.server import ServerThread


def _bound(port: int) -> socket.socket:
    """A socket that holds a port of this machine, so that no other process gets it, and does not listen there."""
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind(("127.0.0.1", port))
    return held


_HELD = [_bound(0)]
_PORT: int = _HELD[0].getsockname()[1]

_SESSION_HOME = Path(tempfile.mkdtemp(prefix="mlip-ood-tests-"))
atexit.register(shutil.rmtree, _SESSION_HOME, ignore_errors=True)

# The clients read these when they are imported, which test modules do.
os.environ.update(
    HF_ENDPOINT=f"http://127.0.0.1:{_PORT}",
    HF_HOME=str(_SESSION_HOME),
    HF_HUB_OFFLINE="0",
    HF_DATASETS_OFFLINE="0",
    HF_HUB_DISABLE_XET="1",
    HF_HUB_DISABLE_TELEMETRY="1",
    HF_HUB_DISABLE_PROGRESS_BARS="1",
    HF_HUB_DISABLE_UPDATE_CHECK="1",
    HF_HUB_DISABLE_IMPLICIT_TOKEN="0",
    NO_PROXY=f"{os.environ.get('NO_PROXY', '')},127.0.0.1",
    no_proxy=f"{os.environ.get('no_proxy', os.environ.get('NO_PROXY', ''))},127.0.0.1",
)
for _name in (
    "HF_TOKEN",
    "HUGGING_FACE_HUB_TOKEN",
    "HF_TOKEN_PATH",
    "HF_HUB_CACHE",
    "HUGGINGFACE_HUB_CACHE",
    "HF_ASSETS_CACHE",
    "HF_DATASETS_CACHE",
    "HF_MODULES_CACHE",
    "HF_EVALUATE_CACHE",
    "HF_METRICS_CACHE",
    "HUGGINGFACE_CO_STAGING",
    "TRANSFORMERS_OFFLINE",
):
    os.environ.pop(_name, None)


# In CI the same few examples each time; `MLIP_OOD_EXAMPLES=deep` looks further, with others each time.
hypothesis.settings.register_profile("ci", max_examples=25, derandomize=True, deadline=None, print_blob=True)
hypothesis.settings.register_profile("deep", max_examples=2000, deadline=None, print_blob=True)
hypothesis.settings.load_profile(os.environ.get("MLIP_OOD_EXAMPLES", "ci"))


def pytest_configure(config: pytest.Config) -> None:
    """Quiets what huggingface_hub does to its own HTTP library at each LFS upload."""
    config.addinivalue_line("filterwarnings", "ignore:Use 'content=<...>':DeprecationWarning")


_LONGEST = (
    "tests/test_docs.py",
    "tests/dataset_builders/publish/test_publish_folder.py",
    "tests/harness/study/test_command.py",
    "tests/dataset_builders/relabel/test_relabelled_edition.py",
    "tests/harness/potentials/test_sevennet.py",
    "tests/harness/potentials/test_nequip.py",
    "tests/test_hub_story.py",
    "tests/harness/train/test_train.py",
    "tests/model_cards/publishing/test_retract.py",
    "tests/harness/inference/test_ranks.py",
    "tests/harness/pages/test_report.py",
    "tests/test_docs_site.py",
    "tests/harness/inference/test_meeting.py",
    "tests/harness/submission/test_verify.py",
    "tests/harness/potentials/test_ase_calculator.py",
    "tests/model_cards/publishing/test_push_faults.py",
    "tests/harness/worker/test_worker.py",
    "tests/harness/export/test_trainer_recipes.py",
    "tests/harness/networks/test_architecture_package.py",
    "tests/test_custom_task.py",
    "tests/test_docs_of_interfaces.py",
)
"""Files that take longest, longest first: started last, one of them would run while the other processes have ended."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Moves the longest files to the front; within a file the order stays."""
    place = {name: number for number, name in enumerate(_LONGEST)}
    items.sort(key=lambda item: place.get(item.nodeid.partition("::")[0], len(_LONGEST)))


def pytest_collection_finish() -> None:
    """Exempts what was imported from garbage collection, which would walk all of it in each full collection."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module", autouse=True)
def _former_objects_are_not_collected() -> None:
    """Exempts what tests of earlier files imported too: some tests collect hundreds of times."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def _server_thread() -> Iterator["ServerThread"]:
    from tests.loopback_hub.server import ServerThread

    thread = ServerThread()
    yield thread
    thread.stop()


@pytest.fixture
def hub(
    _server_thread: "ServerThread", tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator["LoopbackHub"]:
    """An empty Hub at `HF_ENDPOINT`, nobody logged in, and the caches of the clients empty."""
    from tests.loopback_hub import HubState, LoopbackHub

    def set_token(token: str | None) -> None:
        if token is None:
            monkeypatch.delenv("HF_TOKEN", raising=False)
        else:
            monkeypatch.setenv("HF_TOKEN", token)

    _empty_caches(tmp_path_factory.mktemp("hf-home"), monkeypatch)
    # `evaluate` adds each folder that it copies metrics into, and Python takes the first.
    monkeypatch.setattr(sys, "path", [folder for folder in sys.path if not Path(folder, "evaluate_modules").exists()])
    state = HubState(os.environ["HF_ENDPOINT"])
    _forget_metrics()
    _HELD.pop().close()
    with _server_thread.serving(state, _PORT):
        yield LoopbackHub(state, set_token)
    _HELD.append(_bound(_PORT))
    _forget_metrics()


def _forget_metrics() -> None:
    """Lets `evaluate` import metrics from another folder: Python keeps the package that it copies them into."""
    for name in [name for name in sys.modules if name.split(".")[0] == "evaluate_modules"]:
        del sys.modules[name]


def _empty_caches(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Moves all that the clients keep on disk to a folder of this test, and empties what they keep in memory."""
    from huggingface_hub import HfFileSystem, constants

    # For processes that the test starts.
    monkeypatch.setenv("HF_HOME", str(home))
    monkeypatch.setattr(constants, "HF_HOME", str(home))
    for name, kept in {
        "HF_HUB_CACHE": "hub",
        "HF_ASSETS_CACHE": "assets",
        "HF_TOKEN_PATH": "token",
        "HF_STORED_TOKENS_PATH": "stored_tokens",
    }.items():
        monkeypatch.setattr(constants, name, str(home / kept))
    HfFileSystem.clear_instance_cache()
    moved: dict[str, dict[str, str | Path]] = {
        "datasets": {
            "HF_CACHE_HOME": str(home),
            "HF_DATASETS_CACHE": home / "datasets",
            "HF_MODULES_CACHE": home / "modules",
            "DOWNLOADED_DATASETS_PATH": home / "datasets" / "downloads",
            "EXTRACTED_DATASETS_PATH": home / "datasets" / "downloads" / "extracted",
        },
        "evaluate": {
            "HF_EVALUATE_CACHE": home / "evaluate",
            "HF_METRICS_CACHE": home / "metrics",
            "HF_MODULES_CACHE": home / "modules",
            "DOWNLOADED_EVALUATE_PATH": home / "evaluate" / "downloads",
            "EXTRACTED_EVALUATE_PATH": home / "evaluate" / "downloads" / "extracted",
        },
    }
    for client, paths in moved.items():
        # A client that is imported later, by the test, reads HF_HOME.
        if client in sys.modules:
            for name, path in paths.items():
                monkeypatch.setattr(f"{client}.config.{name}", path)


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Makes the clients try again without a wait; gives the waits that they asked for, in seconds."""
    waits: list[float] = []
    clock = SimpleNamespace(**{name: getattr(time, name) for name in dir(time) if not name.startswith("__")})
    clock.sleep = waits.append
    for name in ("huggingface_hub.utils._http", "huggingface_hub.file_download", "tenacity.nap"):
        monkeypatch.setattr(importlib.import_module(name), "time", clock)
    # It takes a second to import, so only where a test has done that.
    if "datasets" in sys.modules:
        for name in ("datasets.utils.file_utils", "datasets.arrow_dataset"):
            monkeypatch.setattr(sys.modules[name], "time", clock)
    return waits
