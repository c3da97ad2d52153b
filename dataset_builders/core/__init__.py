"""Foundations of all other rooms: errors, units, arrays, atomic file writes, the console, and calls to the Hub."""
