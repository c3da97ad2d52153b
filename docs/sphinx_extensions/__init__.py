"""What Sphinx lacks for pages that are read both in the repository and on the site."""
