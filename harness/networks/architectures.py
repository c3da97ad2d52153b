"""The networks of this project; a plug-in declares its own with the same record."""

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Final

from harness.networks import builders
from harness.networks.architecture import Architecture, NetworkArguments
from harness.networks.so3krates_package import ELEMENTS

_graph_pes = partial(Architecture, family="graph-pes", packages=("graph-pes", "e3nn"), extra="graph-pes")
_pyg = partial(Architecture, family="pyg", packages=("torch-geometric",), extra="pyg")
_compiled = partial(_graph_pes, can_compile=True)
_fairchem1 = partial(
    Architecture,
    family="fairchem1",
    packages=("fairchem-core", "e3nn", "torch-geometric"),
    hops_of_embedding=1,
    elements=frozenset(range(1, 101)),
    environment="fairchem1",
)

BUILT_IN: Final[tuple[Architecture, ...]] = (
    _compiled("PaiNN", builders.painn, NetworkArguments(64, 20, 3, 5.0), 4, 2e-3),
    _compiled("SchNet", builders.schnet, NetworkArguments(64, 25, 3, 5.0), 4, 3e-3),
    _compiled("TensorNet", builders.tensornet, NetworkArguments(32, 16, 1, 5.0), 4, 3e-3, hops_of_embedding=1),
    _compiled("NequIP", builders.nequip, NetworkArguments(16, 8, 2, 5.0), 4, 1e-2),
    _compiled("MACE", builders.mace, NetworkArguments(16, 8, 2, 5.0), 4, 1e-2),
    _pyg(
        "DimeNet++", builders.dimenet, NetworkArguments(64, 6, 2, 5.0), 4, 1e-3, hops_of_embedding=1, can_compile=True
    ),
    # The compiler does not support ViSNet, which branches on the values of its distances.
    _pyg("ViSNet", builders.visnet, NetworkArguments(64, 32, 2, 5.0), 4, 1e-3, hops_of_embedding=1),
    # A block of GemNet passes messages to both ends of an edge, and then between atoms.
    _fairchem1("GemNet", builders.gemnet, NetworkArguments(64, 16, 2, 5.0), 4, 1e-3, hops_per_layer=2),
    _fairchem1("eSEN", builders.esen, NetworkArguments(32, 16, 2, 5.0), 4, 2e-3),
    Architecture("ANI", builders.ani, None, 8, 3e-4, family="torchani-tuned", packages=("torchani",), extra="torchani"),
    Architecture(
        "MACE-torch",
        builders.mace_torch,
        None,
        4,
        3e-4,
        family="mace-tuned",
        packages=("mace-torch", "e3nn"),
        extra="mace",
    ),
    # The charges that it predicts are corrected by their sum over the whole molecule.
    Architecture(
        "SO3LR",
        builders.so3lr,
        None,
        4,
        3e-4,
        family="so3lr-tuned",
        packages=("so3krates-torch",),
        sees_all=True,
        elements=ELEMENTS,
        environment="so3lr",
    ),
)
"""Networks of this project, and three of other projects (TorchANI, mace-torch, so3krates-torch) that are trained
further here."""

ARCHITECTURES: Final = tuple(each.name for each in BUILT_IN if each.arguments is not None)
"""Networks of this project that are trained from scratch."""

IN_ENVIRONMENTS: Final[Mapping[str, str]] = MappingProxyType(
    {each.name: each.environment for each in BUILT_IN if each.environment is not None}
)
"""The environment of each network that is trained and evaluated only in one."""

FOUNDATIONS: Final = tuple(each.name for each in BUILT_IN if each.arguments is None)
"""Networks of other projects that are trained further here."""

FAMILIES: Final[Mapping[str, str]] = MappingProxyType({each.name: each.family for each in BUILT_IN})
"""The family of potentials that reads a network of this project, by architecture; it is named after the library."""

PACKAGES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {each.family: each.computes_with for each in BUILT_IN}
)
"""Python packages that compute networks of this project, by family."""
