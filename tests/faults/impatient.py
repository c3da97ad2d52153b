"""Runs a command that gives up waiting for the Hub after three seconds, and hardly waits between tries.

`python -m tests.faults.impatient harness ...` is `python -m harness ...` with short times; nothing else differs.
"""

import importlib
import os
import runpy
import sys
import time
from types import SimpleNamespace
from typing import Final

_SECONDS: Final = 3.0
_LONGEST_WAIT: Final = 0.05


def main() -> None:
    """Shortens the times, and runs the command."""
    from dataset_builders.core.hub import retrying, silence

    os.environ.update(HF_HUB_DOWNLOAD_TIMEOUT=f"{_SECONDS:.0f}", HF_HUB_ETAG_TIMEOUT=f"{_SECONDS:.0f}")
    retrying.TIMEOUT_SECONDS = silence.SILENCE_SECONDS = _SECONDS  # type: ignore[misc]
    clock = SimpleNamespace(**{name: getattr(time, name) for name in dir(time) if not name.startswith("__")})
    clock.sleep = lambda seconds: time.sleep(min(seconds, _LONGEST_WAIT))
    for name in ("huggingface_hub.utils._http", "huggingface_hub.file_download", "tenacity.nap"):
        importlib.import_module(name).time = clock  # type: ignore[attr-defined]
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
