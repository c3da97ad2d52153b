from itertools import product

import numpy as np
import pytest
import torch

from harness.compute.neighbours import packed_neighbours
from harness.core.batch import StructureBatch
from harness.networks.edge_triplets import reversed_edges, triplets


@pytest.fixture
def edges() -> torch.Tensor:
    random = np.random.default_rng(3)
    positions = np.concatenate([1.6 * random.normal(size=(n, 3)) for n in (7, 1, 5)])
    batch = StructureBatch(np.ones(13, dtype=np.int64), positions, np.array([7, 1, 5]), ("", "", ""))
    return torch.tensor(packed_neighbours(batch, 3.0))


def test_the_reverse_of_an_edge(edges: torch.Tensor) -> None:
    back = reversed_edges(edges, 13)
    assert torch.equal(edges[:, back], edges.flip(0))
    assert torch.equal(back[back], torch.arange(edges.shape[1]))


def test_triplets_are_those_of_a_plain_loop(edges: torch.Tensor) -> None:
    first, second, number = triplets(edges[0], 13)
    centres = edges[0].tolist()
    expected = [
        (other, edge) for edge, other in product(range(len(centres)), repeat=2) if centres[edge] == centres[other]
    ]
    expected = [(other, edge) for other, edge in expected if other != edge]
    assert list(zip(first.tolist(), second.tolist(), strict=True)) == expected
    assert any(n > 1 for n in number.tolist())
    seen: dict[int, int] = {}
    for edge, place in zip(second.tolist(), number.tolist(), strict=True):
        assert place == seen.get(edge, 0)
        seen[edge] = place + 1


def test_pairs_of_atoms_have_no_triplets() -> None:
    edges = torch.tensor([[0, 1, 2, 3], [1, 0, 3, 2]])
    assert all(part.shape == (0,) for part in triplets(edges[0], 4))
    assert reversed_edges(edges, 4).tolist() == [1, 0, 3, 2]
    none = torch.zeros((2, 0), dtype=torch.int64)
    assert reversed_edges(none, 3).shape == (0,)
    assert all(part.shape == (0,) for part in triplets(none[0], 3))
