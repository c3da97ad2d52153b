"""Calculators for ASE that the families' own packages make of a loaded model, and a loop over one."""

from typing import Any


def calculator_of(family: str, potential: Any) -> Any:
    """The calculator that the family's own package makes of the model that the harness has loaded."""
    import contextlib
    import io

    device, dtype = potential.traits.device, potential.traits.dtype
    match family:
        case "mace":
            from mace.calculators import MACECalculator

            return MACECalculator(models=potential._model, device=device, default_dtype=dtype)
        case "torchani":
            return potential._network.ase()
        case "aimnet2":
            from aimnet.calculators import AIMNet2ASE

            return AIMNet2ASE(potential._calculator)
        case "chgnet":
            from chgnet.model.dynamics import CHGNetCalculator

            return CHGNetCalculator(potential._network, use_device=device)
        case "graph-pes":
            from graph_pes.utils.calculator import GraphPESCalculator

            return GraphPESCalculator(potential.network, device=device)
        case "so3lr":
            from so3krates_torch.calculator.so3 import SO3LRCalculator

            with contextlib.redirect_stdout(io.StringIO()):
                return SO3LRCalculator(device=device, default_dtype=dtype)
        case _:
            raise SystemExit(f"{family} has no calculator for ASE to compare with")


def one_by_one(calculator: Any, window: Any, n_structures: int) -> None:
    """Energies and forces of the first structures of a window, or of anything that cuts batches as it does."""
    from ase import Atoms

    for number in range(n_structures):
        batch = window.batch(number, number + 1)
        # A cell for families that take none without: molecules lie far from their images in it.
        atoms = Atoms(numbers=batch.atomic_numbers, positions=batch.positions, calculator=calculator)
        atoms.info.update(charge=0, spin=1)
        atoms.get_potential_energy()
        atoms.get_forces()
