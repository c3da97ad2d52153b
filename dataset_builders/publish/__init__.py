"""Publishes a certified data-set folder on the Hub."""
