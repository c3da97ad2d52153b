"""Faults on purpose: processes killed at random points, and files with flipped bits; `make test-faults`."""
