"""The built package, installed with the newest and the lowest versions that its metadata promise."""
