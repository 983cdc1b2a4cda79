"""What the files in a run's folder of checkpoints are called."""

LAST = "last.ckpt"
BEST = "best.safetensors"
NEXT = "next_best.safetensors"
"""Best weights until the checkpoint that names them is on the disk."""
