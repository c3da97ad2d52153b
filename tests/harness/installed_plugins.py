"""Packages that add architectures, as pip leaves them in a folder of the path: a module, and metadata beside it."""

from pathlib import Path
from typing import Final

ARCHITECTURE: Final = """
from dataclasses import dataclass
from harness.networks.architecture import Architecture

@dataclass(frozen=True)
class Arguments:
    width: int = 8
    scale: float = 1.0
    kind: str = "plain"
    biased: bool = True
    cutoff: float = 4.0

    def __post_init__(self):
        if self.width < 1:
            raise ValueError(f"width {{self.width}}; expected 1 or more")

def build(arguments, elements, traceable):
    import torch
    from torch import nn
{body}

ARCHITECTURE = Architecture({name!r}, build, Arguments(), batch_size=4, learning_rate=1e-3, hops_of_embedding=1{more})
"""

NETWORK: Final = """
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(120, arguments.width)
            self.energy = nn.Sequential(nn.Linear(arguments.width, 8), nn.SiLU(), nn.Linear(8, 1))
            self.setup()

        def setup(self):
            pass

        def density(self, graph):
            centre, neighbour = graph.neighbour_list
            distance = torch.linalg.vector_norm(graph.R[neighbour] - graph.R[centre], dim=1)[:, None]
            smooth = 0.5 * (1.0 + torch.cos(torch.pi * distance / arguments.cutoff))
            atoms = self.embedding(graph.Z)
            return torch.zeros_like(atoms).index_add(0, centre, atoms[neighbour] * smooth)

        def forward(self, graph):
            return {"local_energies": arguments.scale * self.energy(self.density(graph)).view(-1)}
"""
"""A sound network, of which tests replace what they break."""


def network(change: str = "") -> str:
    """Code that builds the sound network with methods in place of its own."""
    methods = "".join(f"        {line}\n" for line in change.splitlines())
    return f"{NETWORK}\n    class Changed(Net):\n        pass\n{methods}\n    return Changed()\n"


def install(folder: Path, package: str, code: str, entries: dict[str, str], version: str = "1.0") -> Path:
    """Puts a package of one module into a folder.

    Args:
        folder: Folder of the path.
        package: Name of the package, which is that of its module.
        code: Of the module.
        entries: Name of each architecture, and where the module has it.
        version: Of the package.

    Returns:
        The folder.
    """
    folder.mkdir(exist_ok=True)
    (folder / f"{package}.py").write_text(code)
    metadata = folder / f"{package}-{version}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
    lines = "".join(f"{name} = {package}:{value}\n" for name, value in entries.items())
    (metadata / "entry_points.txt").write_text(f"[mlip_ood.architectures]\n{lines}")
    return folder


def architecture(name: str, body: str | None = None, more: str = "") -> str:
    """Code of a module with one architecture."""
    return ARCHITECTURE.format(name=name, body=network() if body is None else body, more=more)
