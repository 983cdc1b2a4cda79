"""Readers of published datasets in their official formats, one module each."""
