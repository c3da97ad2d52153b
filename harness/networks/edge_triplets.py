"""Reversed edges and triplets of a neighbour list, without compiled packages."""

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


def reversed_edges(neighbour_list: "Tensor", n_atoms: int) -> "Tensor":
    """The index of the edge i -> j for each edge j -> i.

    Args:
        neighbour_list: Both atoms of each edge, shape (2, n_edges); each pair in both directions.
        n_atoms: Number of atoms.
    """
    first, second = neighbour_list
    found = torch.empty_like(first)
    found[torch.argsort(second * n_atoms + first)] = torch.argsort(first * n_atoms + second)
    return found


def triplets(centre: "Tensor", n_atoms: int) -> "tuple[Tensor, Tensor, Tensor]":
    """All pairs of different edges b -> a and c -> a.

    Args:
        centre: Atom a of each edge, ascending, shape (n_edges,).
        n_atoms: Number of atoms.

    Returns:
        Indices of the edges b -> a and of the edges c -> a, and the number of each triplet among those of its edge
        c -> a, each of shape (n_triplets,).
    """
    count = torch.bincount(centre, minlength=n_atoms)
    first = (count.cumsum(0) - count)[centre]
    others = count[centre] - 1
    edge = torch.repeat_interleave(torch.arange(len(centre), device=centre.device), others)
    number = torch.arange(len(edge), device=centre.device) - (others.cumsum(0) - others)[edge]
    other = first[edge] + number
    return other + (other >= edge), edge, number
