"""Denies a worker access to tokens, the Hub and, where the system allows it, the network.

This protects against accidents and against checkpoints that contact a server. A worker runs with the rights of its
user, and can read what that user can read, unless it is confined (`--isolation strict`, `confinement.py`).
"""

import ctypes
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from harness.compute.arithmetic import LOWERING, is_read_by_libraries, lowering_variables
from harness.worker.kernel_limits import (
    LimitError,
    drop_capabilities,
    forbid_new_privileges,
    limit_files,
    limit_system_calls,
)

_CLONE_NEWUSER: Final = 0x10000000
_CLONE_NEWNET: Final = 0x40000000

_KEPT: Final = frozenset(
    {"PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "CC", "CXX"}
    | {"LOCAL_RANK"}
)
_FULL_PRECISION: Final = {name: LOWERING[name] for name in ("NVIDIA_TF32_OVERRIDE", "JAX_DEFAULT_MATMUL_PRECISION")}
"""Variables that force full precision in libraries that reduce it by default."""
_KEPT_PREFIXES: Final = ("CUDA_", "NVIDIA_", "HIP_", "ROCR_", "TORCHINDUCTOR_", "PYTORCH_")


def scrubbed_environment(environment: Mapping[str, str], home: Path, python_path: Sequence[Path]) -> dict[str, str]:
    """Environment variables of a worker: only those that it needs or that can change its last digits.

    Args:
        environment: Environment variables of the harness.
        home: An empty folder in place of the user's home, so that no token is found there.
        python_path: Additional folders to import from.
    """
    kept = {
        name: value
        for name, value in environment.items()
        if name in _KEPT or name.startswith(_KEPT_PREFIXES) or is_read_by_libraries(name)
    }
    for name in lowering_variables(kept):
        del kept[name]
    return kept | {
        **_FULL_PRECISION,
        "HOME": str(home),
        "HF_HOME": str(home / "huggingface"),
        "XDG_CACHE_HOME": str(home / "cache"),
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "PYTHONPATH": os.pathsep.join(str(folder.resolve()) for folder in python_path),
        "PYTHONNOUSERSITE": "1",
        "PYTHONSAFEPATH": "1",
        "PYTHONFAULTHANDLER": "1",
    }


def cut_off_network() -> bool:
    """Isolates this process, which must have one thread, from the network; returns whether that was possible.

    On Linux, a new network namespace has no interface to the outside. Elsewhere, and where the system forbids
    it, nothing changes.
    """
    if not sys.platform.startswith("linux"):
        return False
    user, group = os.getuid(), os.getgid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) != 0:
        return False
    # Without a mapping the process would run as nobody, whose name some libraries cannot look up.
    try:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    except OSError:
        return True
    return True


def confine(policy: Path) -> None:
    """Confines this process, which must have one thread, as its policy says; nothing can lift it again.

    Args:
        policy: What `Confinement.write` wrote.

    Raises:
        LimitError: If the kernel refuses a limit.
    """
    document = json.loads(policy.read_text(encoding="utf-8"))
    is_viewed = document["means"] == "bubblewrap"
    if not is_viewed:
        # More than is needed where it is possible: sockets are denied below.
        cut_off_network()
    drop_capabilities()
    forbid_new_privileges()
    if not is_viewed:
        limit_files([Path(each) for each in document["readable"]], [Path(each) for each in document["writable"]])
    try:
        limit_system_calls()
    except LimitError:
        # The view of bubblewrap has no network, no other process and no home already.
        if not is_viewed:
            raise


def temporary_folder(home: Path) -> Path:
    """The folder for temporary files of a confined worker, which may write to its home only."""
    folder = home / "tmp"
    folder.mkdir(exist_ok=True)
    return folder
