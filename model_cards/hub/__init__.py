"""Queries the Hub about repos and users."""
