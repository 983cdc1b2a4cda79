"""Recommenders; one file per architecture."""
