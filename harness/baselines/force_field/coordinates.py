"""Internal coordinates of many geometries of one molecule, and their derivatives with respect to positions.

A bond is described by its length in Å, an angle by its cosine, a torsion by the cosine of its dihedral angle, and a
trigonal centre by the volume that its three unit bond vectors span. Cosines remain differentiable at linear angles.
Reflection of a molecule changes only the sign of the volume.
"""

import numpy as np

from dataset_builders.core.arrays import FloatArray, require_shape
from harness.baselines.force_field.topology import Topology


def internal_coordinates(topology: Topology, positions: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Values and derivatives of all internal coordinates.

    Args:
        topology: Topology of the molecule.
        positions: Its geometries, shape (n_frames, n_atoms, 3), Å.

    Returns:
        Values, shape (n_frames, n_coordinates), and derivatives, shape (n_frames, n_coordinates, n_atoms, 3); both
        float64, in Å for bonds and dimensionless for the others.

    Raises:
        ShapeError: If the number of atoms differs from that of the topology.
    """
    n_atoms = len(topology.labels)
    require_shape("positions", positions, (None, n_atoms, 3))
    values = np.empty((len(positions), topology.n_coordinates))
    derivatives = np.zeros((len(positions), topology.n_coordinates, n_atoms, 3))
    start = 0
    for atoms, function in (
        (topology.bonds, _lengths),
        (topology.angles, _cosines),
        (topology.torsions, _dihedral_cosines),
        (topology.centres, _volumes),
    ):
        of_kind = np.arange(start, start + len(atoms))
        start += len(atoms)
        points = np.asarray(positions, dtype=np.float64)[:, atoms]
        values[:, of_kind], by_point = function(points)
        for place in range(atoms.shape[1]):
            derivatives[:, of_kind, atoms[:, place]] = by_point[:, :, place]
    return values, derivatives


def _lengths(points: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Lengths of bonds between points of shape (..., 2, 3), and derivatives."""
    length, unit = _length_and_unit(points[..., 1, :] - points[..., 0, :])
    return length, np.stack([-unit, unit], axis=-2)


def _cosines(points: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Cosines of angles between points of shape (..., 3, 3), and derivatives."""
    cosine, by_first, by_last = _cosine(points[..., 0, :] - points[..., 1, :], points[..., 2, :] - points[..., 1, :])
    return cosine, np.stack([by_first, -by_first - by_last, by_last], axis=-2)


def _dihedral_cosines(points: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Cosines of torsions of points of shape (..., 4, 3), and derivatives."""
    first, middle, last = (points[..., place + 1, :] - points[..., place, :] for place in range(3))
    cosine, by_left, by_right = _cosine(np.cross(first, middle), np.cross(middle, last))
    # d(a x b) . g = da . (b x g) + db . (g x a)
    by_first = np.cross(middle, by_left)
    by_middle = np.cross(by_left, first) + np.cross(last, by_right)
    by_last = np.cross(by_right, middle)
    return cosine, np.stack([-by_first, by_first - by_middle, by_middle - by_last, by_last], axis=-2)


def _volumes(points: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Volumes at trigonal centres of points, centre first, of shape (..., 4, 3), and derivatives."""
    lengths, units = _length_and_unit(points[..., 1:, :] - points[..., :1, :])
    normals = np.cross(np.roll(units, -1, axis=-2), np.roll(units, -2, axis=-2))
    volume = np.einsum("...c,...c->...", units[..., 0, :], normals[..., 0, :])
    # Only a displacement perpendicular to the bond rotates its unit vector.
    along = np.einsum("...c,...c->...", units, normals)
    by_end = (normals - along[..., None] * units) / lengths[..., None]
    return volume, np.concatenate([-by_end.sum(axis=-2, keepdims=True), by_end], axis=-2)


def _cosine(left: FloatArray, right: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Cosine of the angle between vectors of shape (..., 3), and its derivatives with respect to both."""
    left_length, left_unit = _length_and_unit(left)
    right_length, right_unit = _length_and_unit(right)
    cosine = np.einsum("...c,...c->...", left_unit, right_unit)
    by_left = (right_unit - cosine[..., None] * left_unit) / left_length[..., None]
    by_right = (left_unit - cosine[..., None] * right_unit) / right_length[..., None]
    return cosine, by_left, by_right


def _length_and_unit(vectors: FloatArray) -> tuple[FloatArray, FloatArray]:
    lengths = np.linalg.norm(vectors, axis=-1)
    return lengths, vectors / lengths[..., None]
