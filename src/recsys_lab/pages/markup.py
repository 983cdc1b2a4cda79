"""HTML and SVG as nested calls: text is escaped unless it was made here."""

from __future__ import annotations

import html

_EMPTY = frozenset({"meta"})  # of the elements that are used: those without an end tag


class Markup(str):
    """Text that is markup already; any other text is escaped where it is put into an element."""

    __slots__ = ()


def tag(name: str, /, *children: str, **attributes: str | float) -> Markup:
    """One element.

    Args:
        name: of the element.
        children: in order; escaped where they are not `Markup`.
        attributes: ``class_`` is written ``class``, ``aria_label`` ``aria-label``; numbers are
            rounded to a tenth.
    """
    words = [name]
    for key, value in attributes.items():
        text = f"{value:.1f}".removesuffix(".0") if isinstance(value, int | float) else value
        words.append(f'{key.rstrip("_").replace("_", "-")}="{html.escape(text)}"')
    start = f"<{' '.join(words)}>"
    return Markup(start) if name in _EMPTY else Markup(f"{start}{join(*children)}</{name}>")


def join(*parts: str) -> Markup:
    """Several pieces one after the other, escaped where they are not `Markup`."""
    return Markup(
        "".join(part if isinstance(part, Markup) else html.escape(part) for part in parts)
    )
