"""The data card of a prepared dataset, as a page and in the terminal, from its manifest."""
