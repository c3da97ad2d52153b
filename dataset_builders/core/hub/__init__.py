"""Calls to the Hub: transient errors are retried, all others are explained."""
