"""Files of the lab: atomic writes, locks, hashes, and faults of the machine."""
