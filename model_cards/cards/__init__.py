"""Model cards, and the section that shows the numbers."""
