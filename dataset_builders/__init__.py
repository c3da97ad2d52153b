"""Builds the data set of compositional generalisation: molecules, geometries, labels, data-set folder, Hub repo."""
