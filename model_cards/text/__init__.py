"""Reads untrusted Markdown and YAML within bounds, and changes parts of it without touching the rest."""
