"""The process of a worker: starting it and ending it."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path

from dataset_builders.core.errors import ModelError
from harness.worker.confinement import Confinement
from harness.worker.project_packages import link_packages, package_folders
from harness.worker.sandbox import scrubbed_environment, temporary_folder


def start(
    python: Path, module_folders: Sequence[Path], home: Path, confinement: Confinement | None = None
) -> tuple[subprocess.Popen[bytes], Connection]:
    """Starts a worker in a separate session.

    Args:
        python: Its interpreter.
        module_folders: Additional folders from which it may import.
        home: Its folder.
        confinement: How it is confined; `None` for the rights of the user.

    Returns:
        The process, whose output is a pipe that the caller must empty, and this end of the connection to it.

    Raises:
        ModelError: If the interpreter cannot be started; the folder is removed.
    """
    packages = home / "packages"
    link_packages(package_folders(), packages)
    environment = scrubbed_environment(os.environ, home, (packages, *module_folders))
    # A socket pair, which this side can shut down for both.
    ours, theirs = Pipe()
    command = [str(python), "-m", "harness.worker", str(theirs.fileno())]
    if confinement is not None:
        environment["TMPDIR"] = str(temporary_folder(home))
        command = confinement.command(home, [*command, str(confinement.write(home))])
    try:
        process = subprocess.Popen(
            command,
            bufsize=0,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=(theirs.fileno(),),
            cwd=home,
            env=environment,
            # Ctrl-C in the terminal must reach only the harness, which ends its workers itself.
            start_new_session=True,
        )
    except OSError as cause:
        ours.close()
        shutil.rmtree(home, ignore_errors=True)
        raise ModelError(f"cannot start {python}: {cause}; create the environment again: harness env create") from cause
    finally:
        theirs.close()
    return process, ours


def stop(process: subprocess.Popen[bytes], connection: Connection, sender: ThreadPoolExecutor, home: Path) -> None:
    """Ends a worker, by force if it does not exit within two seconds, and removes its files.

    Args:
        process: The worker.
        connection: Connection to it.
        sender: Executor whose thread writes to it.
        home: Its folder.
    """
    _hang_up(connection)
    try:
        process.wait(timeout=2.0)
    except subprocess.TimeoutExpired:
        _kill(process)
        process.wait()
    # Only now: a thread that is still writing would write to whatever file reuses this descriptor.
    sender.shutdown()
    connection.close()
    shutil.rmtree(home, ignore_errors=True)


def cut_off(process: subprocess.Popen[bytes], connection: Connection) -> None:
    """Ends a worker, and any wait of a thread of this process for it."""
    _kill(process)
    _hang_up(connection)


def _hang_up(connection: Connection) -> None:
    """Shuts down a connection for both sides, even if orphaned child processes of a worker keep its end open."""
    with contextlib.suppress(OSError), socket.socket(fileno=os.dup(connection.fileno())) as end:
        end.shutdown(socket.SHUT_RDWR)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Ends a worker and its child processes, such as a compiler; the worker leads a separate session."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def exit_text(process: subprocess.Popen[bytes]) -> str:
    """How a worker ended; waits briefly for one that is about to end."""
    deadline = time.monotonic() + 2.0
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    code = process.poll()
    if code is None:
        return "still running"
    if code >= 0:
        return f"exit code {code}"
    name = signal.Signals(-code).name
    return name + (", usually for lack of memory" if -code == signal.SIGKILL else "")
