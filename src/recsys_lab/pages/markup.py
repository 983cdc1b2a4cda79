"""HTML and SVG: one escaper (markupsafe), which templates and charts share."""

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
        children: in order; escaped where they are not `Markup`.
        attributes: ``class_`` is written ``class``, ``aria_label`` ``aria-label``; numbers are
            rounded to a tenth.
    """
    words = [name]
    for key, value in attributes.items():
        text = f"{value:.1f}".removesuffix(".0") if isinstance(value, int | float) else value
        words.append(f'{key.rstrip("_").replace("_", "-")}="{escape(text)}"')
    return Markup(f"<{' '.join(words)}>{join(*children)}</{name}>")


def join(*parts: str) -> Markup:
    """Several pieces one after the other, escaped where they are not `Markup`."""
    return Markup().join(parts)


def track(share: float) -> Markup:
    """A bar of a share from 0 to 1, for those who see it: its number stands beside it."""
    bar = tag("span", style=f"width:{100 * share:.1f}%")
    return tag("span", bar, class_="track", aria_hidden="true")


def svg(key: str, title: str, description: str, width: float, height: float, *drawn: str) -> Markup:
    """A drawing.

    Args:
        key: an identifier that is used once on the page.
        title: what is shown; read aloud, not drawn.
        description: what can be seen, for readers who cannot see it.
        width: in units of the drawing.
        height: likewise.
        drawn: the elements; later ones lie above earlier ones.
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
    """A template's text; what is not `Markup` is escaped.

    Args:
        template: path of the file below the package, e.g. ``pages/table.html``.
        context: its variables; one that is missing is an error.
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
