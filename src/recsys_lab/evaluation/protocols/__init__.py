"""Ranking protocols: the whole catalogue, a sample of it, or the items of a file."""
