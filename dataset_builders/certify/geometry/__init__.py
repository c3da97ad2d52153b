"""Geometric support: what of the geometries of the test frames the training frames show."""
