"""The data set: opening, pinning by a hash, reading as arrays, and choosing the level of theory."""
