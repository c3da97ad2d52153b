"""Markdown and YAML that others wrote, read within bounds and changed without touching the rest."""
