"""Drift between two logs: what changed in users, items and events, beyond sampling noise."""
