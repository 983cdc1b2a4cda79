"""Tables, written to the terminal, HTML, Markdown and LaTeX."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from markupsafe import Markup
from rich.table import Table as RichTable
from rich.text import Text

from recsys_lab.pages import latex, markdown
from recsys_lab.pages.markdown import Marked
from recsys_lab.pages.markup import join, render, tag

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    Cell = str | Text | Sequence["Span"]

Style = Literal["", "bold", "underline", "below"]
_TAGS = {"bold": "b", "underline": "u", "below": "small"}
_MARKDOWN = {"": "{}", "bold": "**{}**", "underline": "<u>{}</u>", "below": "<br>{}"}
_LATEX = {"": "{}", "bold": r"\textbf{{{}}}", "underline": r"\underline{{{}}}"}
_LATEX |= {"below": r" {{\scriptsize {}}}"}
_SOURCES: dict[str, tuple[Callable[[str], str], dict[str, str]]] = {
    "md": (markdown.plain, _MARKDOWN),
    "tex": (latex.plain, _LATEX),
}


class Span(NamedTuple):
    """A piece of a cell; ``below`` starts a new line in small print."""

    text: str
    style: Style = ""


@dataclass(frozen=True)
class Table:
    """A table of unescaped text; each format escapes it.

    Attributes:
        caption: above the table.
        heads: of the columns; ``()`` for none.
        rows: of cells; an empty row is a rule in the terminal. A cell is plain text, `Span`s, or
            source of the format that it is written to (`Markup`, `markdown.Marked`, `latex.Tex`,
            `rich.text.Text`).
        right: indices of the right-aligned columns.
        whole: indices of the columns that the terminal does not wrap.
    """

    caption: str
    heads: Sequence[Cell]
    rows: Sequence[Sequence[Cell]]
    right: Collection[int] = ()
    whole: Collection[int] = ()

    def rich(self, title_style: str = "italic", **options: Any) -> RichTable:
        """The table for the terminal.

        Args:
            title_style: of the caption.
            options: of `rich.table.Table`.
        """
        title = Text(self.caption, style=title_style) if self.caption else None
        table = RichTable(
            title=title, title_justify="left", show_header=bool(self.heads), **options
        )
        for index, head in enumerate(self.heads or self.rows[0]):
            table.add_column(
                _as_text(head) if self.heads else "",
                justify="right" if index in self.right else "left",
                no_wrap=index in self.whole,
                overflow="fold",
            )
        for row in self.rows:
            if row:
                table.add_row(*map(_as_text, row))
            else:
                table.add_section()
        return table

    def __rich__(self) -> RichTable:
        """Makes the table printable by a console."""
        return self.rich()

    def __html__(self) -> Markup:
        """The table as HTML; used by templates."""
        columns = range(max(len(self.heads), *(len(row) for row in self.rows), 1))
        return render(
            "pages/table.html",
            caption=self.caption,
            heads=map(_as_html, self.heads),
            rows=[[*map(_as_html, row)] for row in self.rows if row],
            n=[Markup(' class="n"' if index in self.right else "") for index in columns],
        )

    def markdown(self) -> str:
        """The table as Markdown, without the caption."""
        rows = [self.heads or [""] * len(self.rows[0]), *filter(len, self.rows)]
        heads, *body = ([Marked(_as_source(cell, "md")) for cell in row] for row in rows)
        return markdown.table(heads, body, self.right)

    def latex(self, label: str) -> str:
        """The table as LaTeX; needs the package booktabs.

        Args:
            label: what a reference to the table names after ``tab:``.
        """
        rows = [self.heads, *filter(len, self.rows)]
        heads, *body = ([_as_source(cell, "tex") for cell in row] for row in rows)
        return latex.table(self.caption, heads, body, self.right, label)


def _as_text(cell: Cell) -> Text:
    if isinstance(cell, str | Text):
        return Text(cell) if isinstance(cell, str) else cell
    text = Text()
    for words, style in cell:
        text.append(*((f"\n{words}", "dim") if style == "below" else (words, style)))
    return text


def _as_html(cell: Cell) -> str:
    if isinstance(cell, str):
        return cell
    return join(*(tag(_TAGS[style], text) if style else text for text, style in _spans(cell)))


def _as_source(cell: Cell, language: Literal["md", "tex"]) -> str:
    plain, marks = _SOURCES[language]
    if isinstance(cell, str):
        return plain(cell)
    # `plain` strips the space that joins two spans.
    texts = ((" " * text.startswith(" ") + plain(text), style) for text, style in _spans(cell))
    return "".join(marks[style].format(text) for text, style in texts)


def _spans(cell: Text | Sequence[Span]) -> Sequence[Span]:
    return [Span(cell.plain)] if isinstance(cell, Text) else cell
