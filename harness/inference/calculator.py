"""A potential of the harness as a calculator of ASE, for molecular dynamics, relaxation and everything else there."""

from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, Self

from ase.calculators.calculator import BaseCalculator, all_changes

from dataset_builders.core.errors import IncompleteError, UsageError
from harness.compute.elements import require_elements
from harness.core.potential import PotentialTraits
from harness.inference.ase_structures import SMILES_KEY, batch_of, require_molecule, smiles_of
from harness.inference.loaded_potential import LoadedPotential

if TYPE_CHECKING:
    from ase import Atoms


class PotentialCalculator(BaseCalculator):
    """Energies (eV) and forces (eV/Å) of single molecules, in the numbers that an evaluation gives.

    It computes neutral closed-shell molecules without periodic boundaries, and refuses others. It cannot be copied or
    pickled, since it holds a loaded model and maybe a process. Close it, or use it in a `with` block.

    Args:
        potential: The potential, which is closed with the calculator.
        smiles: SMILES of the molecule, for models that need bonds, with the atoms in RDKit's order; `None` for the
            entry `smiles` of `Atoms.info`.
    """

    implemented_properties = ["energy", "free_energy", "forces"]  # noqa: RUF012 (as ASE declares it)

    def __init__(self, potential: LoadedPotential, smiles: str | None = None) -> None:
        parameters = {"model": potential.traits.model_id, "family": potential.traits.family}
        super().__init__(parameters)  # type: ignore[no-untyped-call]
        self._potential = potential
        self._smiles = smiles
        self._computed_smiles: str | None = None

    @property
    def traits(self) -> PotentialTraits:
        """What is known of the model: files, precision, device, level of theory."""
        return self._potential.traits

    def check_state(self, atoms: "Atoms", tol: float = 1e-15) -> list[str]:
        """What has changed since the last calculation.

        Raises:
            UsageError: If the structure is charged, open-shell or periodic.
        """
        # ASE compares neither the charge nor the SMILES in `info`, so a result might outlive a change of them.
        require_molecule(atoms, "the structure")
        changes: list[str] = super().check_state(atoms, tol)  # type: ignore[no-untyped-call]
        return changes if self._smiles_for(atoms) == self._computed_smiles else [*changes, SMILES_KEY]

    def get_property(self, name: str, atoms: "Atoms | None" = None, allow_calculation: bool = True) -> Any:
        """A property of a structure, computed unless that has been done.

        Args:
            name: Of `implemented_properties`.
            atoms: The structure; `None` for the one that was computed last.
            allow_calculation: Whether it may be computed; otherwise `None` is returned where it would have to be.

        Raises:
            PropertyNotImplementedError: If no model of the harness has the property.
            MlipOodError: As `calculate` does.
        """
        if atoms is None and self.atoms is None:
            raise UsageError("there is no structure to compute; attach the calculator with atoms.calc = calculator")
        return super().get_property(name, atoms, allow_calculation)  # type: ignore[no-untyped-call]

    def calculate(
        self, atoms: "Atoms", properties: Sequence[str] = (), system_changes: Sequence[str] = all_changes
    ) -> None:
        """Computes all properties of a structure.

        Args:
            atoms: The structure.
            properties: Not used, since all are computed at once.
            system_changes: Not used.

        Raises:
            UsageError: If the structure is none that the harness computes, or the calculator was closed.
            DataError: If a position is not finite, or an atom is of no element.
            ModelError: If the model has no parameters for an element.
            IncompleteError: If the model cannot compute the structure, or its numbers are not finite.
        """
        del properties, system_changes
        self.results = {}
        smiles = self._smiles_for(atoms)
        batch = batch_of([atoms], [smiles])
        formula = atoms.get_chemical_formula()
        require_elements(self.traits, batch.atomic_numbers, [formula] * len(atoms))
        prediction = self._potential.compute(batch)
        if prediction.failures:
            raise IncompleteError(f"{self.traits.model_id} cannot compute {formula}: {prediction.failures[0]}")
        energy = float(prediction.energy[0])
        # No model here extrapolates to zero electronic temperature: both names stand for the energy of the forces.
        self.results = {"energy": energy, "free_energy": energy, "forces": prediction.forces.copy()}
        self._computed_smiles = smiles

    def close(self) -> None:
        """Ends the worker process of the model, if there is one."""
        self._potential.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise UsageError(
            f"the calculator of {self.traits.model_id} holds a loaded model and cannot be pickled or copied; "
            "make another with harness.calculator in the process that needs it"
        )

    def _smiles_for(self, atoms: "Atoms") -> str:
        return smiles_of(atoms) if self._smiles is None else self._smiles

    def _get_name(self) -> str:
        return "mlip-ood"
