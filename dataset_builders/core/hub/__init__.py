"""Calls to the Hub: tried again where that helps, explained where it does not."""
