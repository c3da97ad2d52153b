"""MatterSim models (`.pth` files of mattersim), evaluated in batches.

Source: Yang et al., arXiv 2405.04967. Written for mattersim 1.2.5, which needs Python 3.12, and run with it on
random weights; the published weights, which were trained on crystals, were not available.
"""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from dataset_builders.core.errors import ModelError
from harness.compute.device import resolve_device
from harness.compute.torch_potential import Output, PackedTensors, TorchPotential
from harness.compute.trial import bent_trio, tried_with
from harness.core.family import Family
from harness.core.known_checkpoints import level_of_file
from harness.core.potential import DtypeName, LoadOptions, Potential, PotentialTraits
from harness.trust.pickles import sha256_of

if TYPE_CHECKING:
    import torch

FAMILY: Final = Family(
    "mattersim",
    __name__,
    "mattersim",
    files=("mattersim-*.pth", "MatterSim-*.pth"),
    library_names=("mattersim",),
    tags=("mattersim",),
)

RELEASE: Final = "1.2.5"
"""Release of mattersim that this adapter was written for."""


class MattersimPotential(TorchPotential):
    """A MatterSim model.

    Args:
        model: A `Potential` of mattersim on its device and in its precision.
        traits: Its traits.
    """

    def __init__(self, model: Any, traits: PotentialTraits) -> None:
        super().__init__(traits)
        self._model = model

    def graph(self, batch: PackedTensors) -> dict[str, "torch.Tensor"]:
        """The dictionary that MatterSim takes, made by the package."""
        import torch
        from mattersim.datasets.utils.converter import create_batch_graph_dict

        arguments = self._model.model.model_args
        graph = create_batch_graph_dict(
            # In double precision: in single, the package makes some atoms their own neighbours and returns NaN.
            pos=batch.positions,
            # The package's calculator puts a molecule into a periodic box so wide that no atom has an image within
            # the cutoff. Without periodicity the cell has no effect, and the graph is the same.
            cell=torch.eye(3, dtype=torch.float64, device=batch.device).repeat(batch.n_structures, 1, 1),
            atomic_numbers=batch.atomic_numbers,
            num_atoms=batch.n_atoms,
            twobody_cutoff=float(arguments["cutoff"]),
            threebody_cutoff=float(arguments["threebody_cutoff"]),
            pbc=False,
        )
        dtype = getattr(torch, self._traits.dtype)
        return {name: value.to(dtype) if value.is_floating_point() else value for name, value in graph.items()}

    def forward(self, graph: dict[str, "torch.Tensor"], batch: PackedTensors) -> Output:
        """Energies and forces."""
        output = self._model.forward(graph, include_forces=True, include_stresses=False)
        return Output(output["total_energy"].double().reshape(batch.n_structures), output["forces"])


def load(source: Path, options: LoadOptions) -> Potential:
    """Loads a `.pth` file.

    Args:
        source: A checkpoint of tensors and plain numbers, which PyTorch reads without running code; so no trust is
            needed, and a file with other content is rejected.
        options: Device and precision (float32 by default, as in the package).

    Raises:
        ModelError: If the file cannot be loaded and run, or lacks weights.
        UsageError: If the device is absent, or a readout head was requested.
    """
    options.require_no_head(str(source))
    device = resolve_device(options.device)
    dtype: DtypeName = options.dtype or "float32"
    stored = _stored(source)
    with tried_with("mattersim", RELEASE, source):
        model = _read(source, device, dtype)
        _require_weights(model.model, stored, source)
        traits = PotentialTraits(
            model_id=str(source),
            family="mattersim",
            # Rows of the network; 89 of its 94 elements were trained, and the file does not state which.
            elements=frozenset(range(1, int(model.model.model_args["max_z"]) + 1)),
            files={source.name: sha256_of(source)},
            packages=("mattersim", "torch", "e3nn"),
            dtype=dtype,
            device=str(device),
            # Other files may be fine-tuned to another level of theory.
            level_of_theory=level_of_file("mattersim", source.name),
        )
        potential = MattersimPotential(model, traits)
        potential.compute(bent_trio(traits))
    return potential


def _stored(source: Path) -> Mapping[str, Any]:
    """The weights in a file, by name, read without running code."""
    import torch

    try:
        checkpoint = torch.load(source, map_location="cpu", weights_only=True)
        return dict(checkpoint["model"])
    except (pickle.UnpicklingError, RuntimeError, OSError, EOFError, KeyError, TypeError, ValueError) as cause:
        raise ModelError(
            f"{source} is not a mattersim checkpoint that can be read without running code ({type(cause).__name__}: "
            f"{cause}); expected a .pth file with the weights under 'model', as mattersim saves them"
        ) from cause


def _read(source: Path, device: "torch.device", dtype: DtypeName) -> Any:
    import torch
    from mattersim.forcefield.potential import Potential as Mattersim

    # An absolute path: for the bare name of a published file, the package searches its own folder, or downloads it.
    model = Mattersim.from_checkpoint(str(source.resolve()), device=str(device), load_training_state=False)
    model.model.to(getattr(torch, dtype))
    return model.requires_grad_(False).eval()


def _require_weights(network: Any, stored: Mapping[str, Any], source: Path) -> None:
    """Checks that no weight is missing; the package would leave it random without an error."""
    needed = {name for name, _ in network.named_parameters()} | {"normalizer.scale", "normalizer.shift"}
    lacking = sorted(needed - {name.removeprefix("module.") for name in stored})
    if lacking:
        raise ModelError(
            f"{source} lacks {len(lacking)} of the {len(needed)} weights of its network, such as {lacking[0]}; "
            "it is damaged, or another version of mattersim saved it"
        )
