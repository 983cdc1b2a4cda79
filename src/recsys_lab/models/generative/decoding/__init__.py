"""From the probabilities of codes to ranked lists of items."""
