"""Files of the lab itself: written whole or not at all, locked, hashed; faults of the machine."""
