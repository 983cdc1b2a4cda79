"""Models that generate the semantic ID of the next item, code by code, and their decoding."""
