"""What SO3LR of so3krates-torch takes, for its published weights and for networks that are trained further."""

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import torch
    from torch import Tensor

ELEMENTS: Final = frozenset({1, 6, 7, 8, 9, 15, 16, 17})
"""Elements of the training set. The network has a row for each of 118; the rows of the others are still random."""

CHARGE: Final = 0
SPIN: Final = 0
"""Total spin S, of which the network takes twice: the unpaired electrons. A closed shell has multiplicity 1, spin 0."""


def so3lr_input(
    atomic_numbers: "Tensor",
    positions: "Tensor",
    places: "tuple[Tensor, Tensor]",
    pairs: "tuple[Tensor, Tensor]",
    n_elements: int,
) -> "dict[str, Tensor]":
    """The dictionary that SO3LR takes for neutral closed-shell molecules.

    Args:
        atomic_numbers: Shape (n_atoms_total,), int64.
        positions: Shape (n_atoms_total, 3), Å, in the precision of the model.
        places: Index of the structure of each atom, shape (n_atoms_total,), and the start of each structure with the
            end, shape (n_structures + 1,).
        pairs: Central atom and neighbour within the short and within the long cutoff, shapes (2, n_pairs).
        n_elements: Rows of its embedding.
    """
    import torch

    system_idx, offsets = places
    near, far = pairs
    n_structures = len(offsets) - 1
    return {
        "positions": positions,
        "atomic_numbers": atomic_numbers,
        "node_attrs": torch.nn.functional.one_hot(atomic_numbers - 1, n_elements).to(positions.dtype),
        "edge_index": near,
        "shifts": positions.new_zeros((near.shape[1], 3)),
        "edge_index_lr": far,
        "shifts_lr": positions.new_zeros((far.shape[1], 3)),
        "cell": positions.new_zeros((3 * n_structures, 3)),
        "batch": system_idx,
        "ptr": offsets,
        "head": torch.zeros(n_structures, dtype=torch.int64, device=positions.device),
        # The package makes both of the type of the model: the charges that it predicts add up to this one.
        "total_charge": positions.new_full((n_structures,), CHARGE),
        "total_spin": positions.new_full((n_structures,), SPIN),
    }


@contextlib.contextmanager
def default_dtype(dtype: "torch.dtype") -> Iterator[None]:
    """Sets the precision of quotients of integers and of new tensors, and restores it.

    The model divides the surplus of charge by the number of atoms, an integer: in single precision, whatever the
    precision of the model, so that the charges of a molecule would add up to 1e-8 e. Its constructor changes the
    setting for the whole process.
    """
    import torch

    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
