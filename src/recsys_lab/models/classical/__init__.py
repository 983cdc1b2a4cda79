"""Models that are fitted in one pass: counts, neighbours, factorisations. One file each."""
