"""What libraries of networks are imported without, and that it is there for who uses it."""

import os
import subprocess
import sys

import pytest

BUILT = """
import sys
from harness.networks.architecture import NetworkArguments
from harness.networks.networks import build_network

build_network("PaiNN", NetworkArguments(channels=4, radial_features=4, layers=1, cutoff=2.0), (1, 6))
print(*sys.modules)
sys.path.remove(sys.argv[1])
"""
AFTERWARDS = """
from harness.networks.graph_pes_package import graph_pes_models

models = graph_pes_models()
import ase
import torch
from ase import Atoms
from graph_pes.atomic_graph import AtomicGraph, to_batch
from graph_pes.data import datasets
from graph_pes.utils.shift_and_scale import guess_per_element_mean_and_var

graphs = [AtomicGraph.from_ase(Atoms(text, [(0, 0, 0), (0, 0, 1)]), 3.0) for text in ("H2", "HC")]
means, _ = guess_per_element_mean_and_var(torch.tensor([-2.0, -39.0]), to_batch(graphs))
print({number: round(float(mean)) for number, mean in means.items()})
from load_atoms import load_dataset
from sklearn.linear_model import Ridge
print(type(datasets.load_dataset).__name__, isinstance(Ridge, type), load_dataset.__module__.partition(".")[0])
print(ase.io.read.__module__, ase.db.connect.__module__, datasets.ase.io is ase.io)
from graph_pes.models import ZEmbeddingNequIP
from graph_pes.models.e3nn.mace import MACE
from graph_pes.models.orb import Orb
print(models.MACE is MACE, models.Orb is Orb, isinstance(ZEmbeddingNequIP, type))
in_list = models.ALL_PES_MODELS
print(all(isinstance(each, type) for each in in_list), len(in_list), MACE in in_list)
print(graph_pes_models() is models, hasattr(models, "Absent"))
"""


@pytest.fixture(scope="module")
def graph_pes(tmp_path_factory: pytest.TempPathFactory) -> "subprocess.CompletedProcess[str]":
    """A process that builds a network, and afterwards calls what that was imported without."""
    # An mpi4py that finds no MPI library must not matter either: Lightning would import it.
    folder = tmp_path_factory.mktemp("broken")
    (folder / "mpi4py").mkdir()
    (folder / "mpi4py" / "__init__.py").touch()
    (folder / "mpi4py" / "MPI.py").write_text('raise RuntimeError("cannot load MPI library")\n')
    search = os.pathsep.join([str(folder), *sys.path])
    command = [sys.executable, "-c", BUILT + AFTERWARDS, str(folder)]
    return subprocess.run(
        command, env={**os.environ, "PYTHONPATH": search}, capture_output=True, text=True, check=False
    )


def test_graph_pes_without_what_only_its_trainer_needs(graph_pes: "subprocess.CompletedProcess[str]") -> None:
    modules = set(graph_pes.stdout.partition("\n")[0].split())
    assert "graph_pes.models" in modules, graph_pes.stderr
    heavy = {"pytorch_lightning", "lightning_fabric", "sklearn", "scipy.stats", "matplotlib", "IPython", "pandas"}
    assert not modules & {*heavy, "mpi4py", "load_atoms", "graph_pes.utils.distributed", "torch._dynamo"}
    assert not modules & {"e3nn", "sympy", "ase.io", "ase.db", "scipy"}


def test_what_was_left_out_of_graph_pes_is_there_when_it_is_called(
    graph_pes: "subprocess.CompletedProcess[str]",
) -> None:
    assert graph_pes.returncode == 0, graph_pes.stderr
    assert graph_pes.stdout.splitlines()[1:] == [
        "{1: -1, 6: -38}",
        "_PostponedName True load_atoms",
        "ase.io.formats ase.db.core True",
        "True True True",
        "True 14 True",
        "True False",
    ], graph_pes.stderr


DURING = """
import sys
from harness.networks.light_import import light_import

with light_import(["xml.dom.minidom"], ["email.mime.text"]):
    from email.mime.text import MIMEText
    from xml.dom.minidom import Document
    print(MIMEText.__module__, Document().__class__.__module__)
print(*(sys.modules[name].__spec__.name for name in ("email.mime.text", "xml.dom.minidom")))
"""


def test_a_placeholder_gives_way_to_who_uses_the_module_meanwhile() -> None:
    done = run(DURING)
    assert done.stdout.splitlines() == ["email.mime.text xml.dom.minidom"] * 2, done.stderr


HEAVY = {"mace.tools.train", "torchmetrics", "pandas", "matplotlib", "torch._dynamo", "scipy.signal", "scipy.stats"}
TRAINER = f"""
import sys
from harness.networks.mace_package import importing_mace

with importing_mace():
    from mace import tools
    from mace.tools.compile import dynamo
print(*sorted({HEAVY} & sys.modules.keys()))
import torch
from e3nn.io._spherical_tensor import scipy
BEFORE
print(tools.train.__name__, tools.evaluate.__module__, tools.SWAContainer.__name__, tools.train is tools.train)
print(scipy.signal.find_peaks([0.0, 1.0, 0.0])[0], dynamo.allow_in_graph is torch._dynamo.allow_in_graph)
with importing_mace():
    from mace.tools import train as again
print(again is tools.train)
"""


OTHERS = ("", "import mace.tools.train", "import mace.cli.run_train")


@pytest.mark.parametrize(
    "before",
    ["from mace.tools.train import evaluate", *(pytest.param(each, marks=pytest.mark.slow) for each in OTHERS)],
)
def test_what_was_left_out_of_mace_is_there_when_it_is_called(before: str) -> None:
    """Also where the trainer was imported before: the package has a function of the name of the module."""
    done = run(TRAINER.replace("BEFORE", before))
    assert done.stdout.splitlines() == [
        "",
        "train mace.tools.train SWAContainer True",
        "[1] True",
        "True",
    ], done.stderr


AIMNET2 = """
import sys
from harness.potentials.aimnet2 import importing_aimnet

with importing_aimnet():
    from aimnet.modules import lr
print(*sorted({"nvalchemiops.dynamics", "nvalchemiops.interactions.electrostatics"} & sys.modules.keys()))
import torch
from nvalchemiops.torch.interactions import dispersion, electrostatics
positions = torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, 2.0]])
cell = 12.0 * torch.eye(3)[None]
parameters = lr.estimate_ewald_parameters(positions, cell)
print(type(parameters).__name__, isinstance(dispersion.FourierD3Setup, type))
print(electrostatics.ewald_summation is sys.modules[electrostatics.__name__].ewald_summation)
"""


@pytest.mark.slow  # imports all kernels, which takes fifteen seconds
def test_kernels_that_were_left_out_of_aimnet2_are_there_when_they_are_called() -> None:
    done = run(AIMNET2)
    assert done.stdout.splitlines() == ["", "EwaldParameters True", "True"], done.stderr


def run(program: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
