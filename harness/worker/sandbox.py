"""What a worker is kept from: tokens, the Hub, and, where the system allows it, the network.

It is a fence against accidents and against checkpoints that call home. It is no prison: a worker runs with
the rights of its user, and can read what that user can read.
"""

import ctypes
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from harness.compute.arithmetic import LOWERING, is_read_by_libraries, lowering_variables

_CLONE_NEWUSER: Final = 0x10000000
_CLONE_NEWNET: Final = 0x40000000

_KEPT: Final = frozenset(
    {"PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "CC", "CXX"}
    | {"LOCAL_RANK"}
)
_FULL_PRECISION: Final = {name: LOWERING[name] for name in ("NVIDIA_TF32_OVERRIDE", "JAX_DEFAULT_MATMUL_PRECISION")}
"""What libraries that choose fewer digits of their own accord are told."""
_KEPT_PREFIXES: Final = ("CUDA_", "NVIDIA_", "HIP_", "ROCR_", "TORCHINDUCTOR_", "PYTORCH_")


def scrubbed_environment(environment: Mapping[str, str], home: Path, python_path: Sequence[Path]) -> dict[str, str]:
    """The environment of a worker: what computing needs, all that can change its last digits, and nothing else.

    Args:
        environment: That of the harness.
        home: An empty folder which stands for the user's own, so that no token is found there.
        python_path: Folders to import from, beside those of the interpreter.
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
    """Moves this process, which must have one thread, where there is no network; whether that was possible.

    On Linux, a network namespace of its own has no interface that leads anywhere. Elsewhere, and where
    the system forbids it, nothing changes.
    """
    if not sys.platform.startswith("linux"):
        return False
    user, group = os.getuid(), os.getgid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) != 0:
        return False
    # Without a map the process would be nobody, whom some libraries cannot find a name for.
    try:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    except OSError:
        return True
    return True
