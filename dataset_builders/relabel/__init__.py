"""Computes labels at another level of theory for the geometries of an edition."""
