"""A model that tries what a hostile checkpoint would, and reports what it could do; imported in a worker by name."""

import contextlib
import ctypes
import json
import os
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from harness.core.batch import Prediction, StructureBatch
from harness.core.potential import LoadOptions, PotentialTraits

_PTRACE_ATTACH = 16


class Hostile:
    traits = PotentialTraits("hostile", "hostile", None, files={"weights": "0" * 64}, packages=("numpy",))

    def __init__(self, source: Path) -> None:
        self._target = json.loads(source.read_text())

    def compute(self, batch: StructureBatch) -> Prediction:
        done = [name for name, deed in _deeds(self._target).items() if _works(deed)]
        nan = np.full((len(batch.positions), 3), np.nan)
        return Prediction(nan[: batch.n_structures, 0], nan, {0: json.dumps(done)})


def _works(deed: Callable[[], Any]) -> bool:
    try:
        found = deed()
    except (OSError, subprocess.SubprocessError):
        return False
    return found is not False


def _deeds(target: dict[str, Any]) -> dict[str, Callable[[], Any]]:
    secret, parent, project = Path(target["secret"]), int(target["parent"]), Path(target["project"])
    return {
        "read a file of the user": secret.read_bytes,
        "list the folder of the user": lambda: [*secret.parent.iterdir()],
        "read it by a program": lambda: subprocess.run(["cat", str(secret)], check=True, capture_output=True),
        "read passwords": lambda: Path("/etc/shadow").read_bytes(),
        "read the environment of the harness": lambda: _environment_of(parent),
        "read its memory": lambda: Path(f"/proc/{parent}/maps").read_bytes() and _is_there(parent, target),
        "attach to it": lambda: (
            ctypes.CDLL(None).ptrace(_PTRACE_ATTACH, parent, 0, 0) == 0 and _is_there(parent, target)
        ),
        "signal it": lambda: _signal(parent, target),
        "change the project": lambda: project.open("ab").close(),
        "truncate the project": lambda: os.truncate(project, project.stat().st_size),
        # In a view of its own this works, and nothing of it is left.
        "write beside the checkpoint": lambda: Path(target["beside"]).write_text("x") and False,
        "connect": lambda: socket.create_connection(("127.0.0.1", target["port"]), timeout=5).close(),
        "send a datagram": lambda: _datagram(target["datagrams"]),
        "connect to a local server": lambda: _local(target["local"]),
        # What a model needs.
        "write in its home": lambda: (Path.home() / "own").write_text("x"),
        "use a temporary file": lambda: subprocess.run(["mktemp"], check=True, capture_output=True),
    }


def _is_there(parent: int, target: dict[str, Any]) -> bool:
    """Whether the process of this number is the harness: in a view of its own, it is another one."""
    with contextlib.suppress(OSError):
        return target["name"] in Path(f"/proc/{parent}/cmdline").read_text()
    return False


def _environment_of(parent: int) -> bool:
    return b"CANARY" in Path(f"/proc/{parent}/environ").read_bytes()


def _signal(parent: int, target: dict[str, Any]) -> bool:
    os.kill(parent, 0)
    return _is_there(parent, target)


def _datagram(port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"x", ("127.0.0.1", port))


def _local(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)


def load(source: Path, options: LoadOptions) -> Hostile:
    return Hostile(source)
