"""A shop's log of any size, made by a process that is known, and the truth behind it."""
