"""The data card of a prepared dataset, a page and in the terminal, made of its manifest alone."""
