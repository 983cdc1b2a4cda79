"""Checks of a prepared dataset for leaks: splits or columns that reveal the targets."""
