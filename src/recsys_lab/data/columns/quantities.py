"""How columns with the quantity of an event are named."""

QUANTITIES = (
    *("quantity", "qty", "count", "units", "pieces"),
    *("menge", "anzahl", "stück", "stueck", "stk"),
)
"""In lower case."""
