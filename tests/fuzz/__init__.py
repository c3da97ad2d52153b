"""A mutation fuzzer of everything that reads files of strangers: valid files are spoiled, and readers must say so.

`python -m tests.fuzz --seconds 60` runs all targets; `--target NAME` one of them, `--replay FILE` one saved input.
"""
