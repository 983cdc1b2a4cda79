"""A proposed config for a file of the user's own: ``recsys-lab init``."""
