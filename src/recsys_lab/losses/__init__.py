"""Losses; one file per loss family."""
