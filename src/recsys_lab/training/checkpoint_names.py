"""File names in a run's checkpoints folder."""

LAST = "last.ckpt"
BEST = "best.safetensors"
NEXT = "next_best.safetensors"
"""New best weights until the checkpoint with their digest is written."""
