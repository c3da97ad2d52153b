"""The data set: opened, pinned by a hash, read as arrays, at the level of theory that a model needs."""
