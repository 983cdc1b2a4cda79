"""LaTeX tables (booktabs) with escaped text."""

from __future__ import annotations

from collections.abc import Collection, Sequence

_SPECIAL = str.maketrans(
    {character: f"\\{character}" for character in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    | {"<": r"\textless{}", ">": r"\textgreater{}"}
    | {"±": r"$\pm$", "†": r"$\dagger$", "↓": r"$\downarrow$"}
)


class Tex(str):
    """LaTeX source; any other text is escaped."""

    __slots__ = ()


def plain(text: str) -> Tex:
    """One line of escaped text."""
    return text if isinstance(text, Tex) else Tex(" ".join(text.split()).translate(_SPECIAL))


def table(
    caption: str,
    heads: Sequence[str],
    rows: Sequence[Sequence[str]],
    right: Collection[int],
    label: str,
) -> str:
    """A floating table of LaTeX source; the columns ``right`` are right-aligned.

    Args:
        caption: escaped.
        heads: of the columns.
        rows: cells.
        right: indices of columns.
        label: what a reference to the table names after ``tab:``; letters, digits, hyphens.
    """
    first, *others = (f"    {' & '.join(row)} \\\\" for row in (heads, *rows))
    columns = "".join("r" if index in right else "l" for index in range(len(heads)))
    lines = [
        "% needs \\usepackage{booktabs}",
        "\\begin{table}",
        "  \\centering",
        f"  \\caption{{{plain(caption)}}}",
        f"  \\label{{tab:{label}}}",  # after the caption, which sets the number
        f"  \\begin{{tabular}}{{{columns}}}",
        "    \\toprule",
        first,
        "    \\midrule",
        *others,
        "    \\bottomrule",
        "  \\end{tabular}",
        "\\end{table}",
    ]
    return "\n".join(lines) + "\n"
