"""Conventions of stored columns, for readers that do not import torch."""

FIRST_KNOWN = 2
"""Smallest code of a known value in an encoded column; 0 is missing, 1 unknown."""

LIST = "list"
"""Table column with the index of a list among the user's lists, from 0, if users have several."""
