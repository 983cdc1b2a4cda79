"""A sweep while it runs: what the terminal shows, and what becomes of failed trials."""
