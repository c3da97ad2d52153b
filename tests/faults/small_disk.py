"""Runs a command on a disk that is full or read-only, makes room, and runs it again; in a mount namespace of its own.

`unshare --mount python -m tests.faults.small_disk FOLDER AFTER TROUBLE BYTES COMMAND...` moves what FOLDER contains to
a disk in memory, which nobody else sees and which ends with this process. What the command left is copied to AFTER,
and a report in JSON is printed.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal, get_args

Trouble = Literal["none", "full", "read-only", "no permission"]

HOME: Final = "home"
_ROOMY: Final = 4 * 2**30
_SECONDS: Final = 1800.0
_UNPRIVILEGED: Final = ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all", "--")
"""Takes from root what lets it write to any folder."""


def main(arguments: Sequence[str]) -> int:
    """Prints the report: bytes on the disk before and after, and what both runs ended with."""
    place, after, trouble, n_bytes, *command = arguments
    assert trouble in get_args(Trouble), trouble
    folder, disk, home = Path(place), Path(f"{place}.disk"), Path(f"{place}.home")
    _mount(folder, disk)
    # A home is elsewhere in most places; a full disk is that of the caches, too.
    if trouble in ("read-only", "no permission"):
        _mount(folder / HOME, home)
    report: dict[str, object] = {"before": _used(folder)}
    if trouble != "none":
        _make(trouble, disk, folder, _used(folder) + int(n_bytes))
        report["first"] = _run([*(_UNPRIVILEGED if trouble == "no permission" else ()), *command], folder)
        report["files"] = _inodes(folder)
        _mend(trouble, disk, folder)
    report["second"] = _run(command, folder)
    report |= {"after": _used(folder), "files after": _inodes(folder)}
    shutil.copytree(folder, after, dirs_exist_ok=True, ignore=shutil.ignore_patterns(HOME))
    print(json.dumps(report))
    return 0


def _mount(folder: Path, disk: Path) -> None:
    """Puts a disk in memory in the place of a folder, with what is there."""
    disk.mkdir()
    _call("mount", "-t", "tmpfs", "-o", f"size={_ROOMY},mode=755", "tmpfs", str(disk))
    shutil.copytree(folder, disk, dirs_exist_ok=True, symlinks=True)
    _call("mount", "--bind", str(disk), str(folder))


def _make(trouble: str, disk: Path, folder: Path, n_bytes: int) -> None:
    if trouble == "full":
        _call("mount", "-o", f"remount,size={n_bytes}", str(disk))
    elif trouble == "read-only":
        _call("mount", "-o", "remount,ro", str(disk))
    else:
        _permit(folder, 0o555)


def _mend(trouble: str, disk: Path, folder: Path) -> None:
    if trouble == "no permission":
        _permit(folder, 0o755)
    else:
        _call("mount", "-o", f"remount,rw,size={_ROOMY}", str(disk))


def _permit(folder: Path, mode: int) -> None:
    for path in (folder, *folder.rglob("*")):
        if path.is_dir() and folder / HOME not in (path, *path.parents):
            path.chmod(mode)


def _used(folder: Path) -> int:
    found = os.statvfs(folder)
    return (found.f_blocks - found.f_bfree) * found.f_frsize


def _run(command: list[str], folder: Path) -> tuple[int, str]:
    done = subprocess.run(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=_SECONDS, check=False
    )
    return done.returncode, done.stdout


def _inodes(folder: Path) -> dict[str, int]:
    """The files of a folder; one that is written again is another file."""
    return {str(path.relative_to(folder)): path.stat().st_ino for path in folder.rglob("*") if path.is_file()}


def _call(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
