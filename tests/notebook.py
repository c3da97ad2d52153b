"""Executes the example notebook and stores it with its outputs: `python -m tests.notebook`."""

import os
import tempfile
from pathlib import Path
from typing import Final

import nbformat

NOTEBOOK: Final = Path(__file__).parent.parent / "examples" / "first-steps.ipynb"


def executed(folder: Path) -> nbformat.NotebookNode:
    """The notebook after a run of all of its cells, without times and identifiers that differ between runs.

    Args:
        folder: Working directory of the run, where results are written.

    Raises:
        CellExecutionError: If a cell fails.
    """
    from nbclient import NotebookClient

    notebook = nbformat.read(NOTEBOOK, as_version=4)
    with tempfile.TemporaryDirectory() as sockets:
        # Through files, since other users of the machine could reach a kernel that listens at a port.
        client = NotebookClient(
            notebook, timeout=240, record_timing=False, resources={"metadata": {"path": str(folder)}}
        )
        manager = client.create_kernel_manager()
        manager.transport, manager.ip = "ipc", f"{sockets}/kernel"
        # Packages that tests import set this variable, and others warn of it.
        kept = {name: value for name, value in os.environ.items() if name != "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"}
        client.execute(env=kept)
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            output.get("data", {}).pop("image/jpeg", None)  # the same picture as its PNG
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    return notebook


def main() -> None:
    """Replaces the stored outputs."""
    with tempfile.TemporaryDirectory() as folder:
        nbformat.write(executed(Path(folder)), NOTEBOOK)


if __name__ == "__main__":
    main()
