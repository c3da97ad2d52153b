"""The files that an evaluation writes: manifest and result, and the identity of its run."""
