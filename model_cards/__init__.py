"""Turns results into text and entries for model cards."""
