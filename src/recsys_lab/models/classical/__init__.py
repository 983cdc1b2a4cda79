"""Models fitted without gradient descent: counts, neighbours, factorisations. One file each."""
