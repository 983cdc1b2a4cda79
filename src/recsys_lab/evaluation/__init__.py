"""Ranked lists and targets -> per-user metrics -> means."""
