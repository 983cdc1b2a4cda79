"""Readers of published datasets in their official form, one file each."""
