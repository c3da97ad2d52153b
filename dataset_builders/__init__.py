"""Makes the four tasks of compositional generalisation: molecules, geometries, labels, data-set repo."""
