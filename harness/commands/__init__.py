"""Commands of `python -m harness` without a package of their own, one file each."""
