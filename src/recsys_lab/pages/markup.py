"""HTML and SVG elements and templates, escaped by markupsafe."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["Markup", "join", "render", "svg", "tag", "track"]


def tag(name: str, /, *children: str, **attributes: str | float) -> Markup:
    """One element.

    Args:
        name: of the element.
        children: in order; escaped unless `Markup`.
        attributes: ``class_`` is written ``class``, ``aria_label`` ``aria-label``; numbers are
            rounded to a tenth.
    """
    words = [name]
    for key, value in attributes.items():
        text = f"{value:.1f}".removesuffix(".0") if isinstance(value, int | float) else value
        words.append(f'{key.rstrip("_").replace("_", "-")}="{escape(text)}"')
    return Markup(f"<{' '.join(words)}>{join(*children)}</{name}>")


def join(*parts: str) -> Markup:
    """Concatenate the parts, escaped unless `Markup`."""
    return Markup().join(parts)


def track(share: float) -> Markup:
    """A bar for a share from 0 to 1; hidden from screen readers, as its number is next to it."""
    bar = tag("span", style=f"width:{100 * share:.1f}%")
    return tag("span", bar, class_="track", aria_hidden="true")


def svg(key: str, title: str, description: str, width: float, height: float, *drawn: str) -> Markup:
    """A drawing.

    Args:
        key: an identifier, unique on the page.
        title: what is shown; for screen readers, not drawn.
        description: the contents in words, for screen readers.
        width: in units of the drawing.
        height: likewise.
        drawn: the elements; later ones cover earlier ones.
    """
    return tag(
        "svg",
        tag("title", title, id=f"{key}-title"),
        tag("desc", description, id=f"{key}-desc"),
        *drawn,
        viewBox=f"0 0 {width} {height}",
        role="img",
        aria_labelledby=f"{key}-title {key}-desc",
    )


def render(template: str, /, **context: Any) -> Markup:
    """Render a template; values are escaped unless `Markup`.

    Args:
        template: path of the file in the package, e.g. ``pages/table.html``.
        context: its variables; a missing one is an error.
    """
    return Markup(_templates().get_template(template).render(context))


@cache
def _templates() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("recsys_lab", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
