"""A whole page: one file that loads nothing and runs nothing."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

from recsys_lab.pages.markup import Markup, join, tag

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# Whatever a dataset's name or an item's title holds.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def page(title: str, *body: str) -> str:
    """The page's text.

    Args:
        title: shown by the browser; escaped.
        body: what stands in ``main``, in order; escaped where it is not `Markup`.
    """
    style = files("recsys_lab.pages").joinpath("page.css").read_text(encoding="utf-8")
    html = tag(
        "html",
        tag(
            "head",
            tag("meta", charset="utf-8"),
            tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
            tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
            tag("title", title),
            tag("style", Markup(style)),
        ),
        tag("body", tag("main", *body)),
        lang="en",
    )
    return f"<!doctype html>\n{html}\n"


def section(heading: str, *content: str) -> Markup:
    """A part of the page under its heading."""
    return tag("section", tag("h2", heading), *content)


def figure(caption: str, chart: Markup) -> Markup:
    """A chart under its caption."""
    return tag("figure", tag("figcaption", caption), chart)


def table(
    caption: str,
    heads: Sequence[str],
    rows: Iterable[Sequence[str]],
    right: Iterable[int] = (),
) -> Markup:
    """A table whose first column names the rows; the columns `right` hold numbers."""
    classes: dict[int, dict[str, str]] = {place: {"class_": "n"} for place in right}
    head = [
        tag("th", text, scope="col", **classes.get(place, {})) for place, text in enumerate(heads)
    ]
    body = [
        tag(
            "tr",
            tag("th", row[0], scope="row"),
            *(tag("td", row[place], **classes.get(place, {})) for place in range(1, len(row))),
        )
        for row in rows
    ]
    table = tag(
        "table", tag("caption", caption), tag("thead", tag("tr", *head)), tag("tbody", *body)
    )
    return tag("div", table, class_="scroll")


def fact_list(
    rows: Iterable[tuple[str, str]], *, numbers: bool = False, code: bool = False
) -> Markup:
    """Names with their values; `numbers` stand right, `code` is set in a fixed width."""
    items = [
        join(tag("dt", name), tag("dd", tag("code", value) if code else value))
        for name, value in rows
    ]
    if not items:
        return tag("p", "None.")
    return tag("dl", *items, class_="facts numbers" if numbers else "facts")
