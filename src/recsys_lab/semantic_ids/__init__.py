"""Semantic IDs: item vectors, quantisers, and the artefact with codes, diagnostics and card."""
