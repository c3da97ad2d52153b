"""The files that an evaluation leaves: manifest and result, and the identity of its run."""
