"""Searches over configs: spaces, studies that many processes share, and their trials."""
