"""A force field that is linear in its coefficients: internal coordinates, their derivatives and typed terms."""
