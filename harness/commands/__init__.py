"""Commands of `python -m harness` that lie in no room of their own: one file each."""
