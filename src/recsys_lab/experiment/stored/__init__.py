"""New runs from what earlier runs stored."""
