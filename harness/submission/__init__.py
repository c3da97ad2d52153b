"""Entries of a repo of results: written from finished runs, and checked without executing any submitted code."""
