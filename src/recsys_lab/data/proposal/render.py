"""A proposal as a YAML file with comments."""

from __future__ import annotations

import textwrap
from typing import Any

import yaml  # type: ignore[import-untyped]

from recsys_lab.data.proposal.propose import Entry, Proposal
from recsys_lab.pages.number_format import number
from recsys_lab.pages.terminal import printable

_WIDTH = 98


def as_yaml(proposal: Proposal, command: str) -> str:
    """The file of the group ``experiment``.

    Args:
        proposal: the options.
        command: that uses the file.
    """
    lines = ["# @package _global_", *_comment(f"Proposed by recsys-lab init: {seen(proposal)}")]
    lines += [
        *_comment("Check every line; change or delete what is wrong. Then:"),
        f"#   {command}",
    ]
    for gap in proposal.gaps:
        lines += _comment(f"Gap: {gap}.")
    lines += ["", "defaults:", "  - override /data: table"]
    for group, entries in proposal.groups.items():
        lines += ["", f"{group}:"]
        for entry in entries:
            lines += _option(entry)
    return "\n".join(lines) + "\n"


def seen(proposal: Proposal) -> str:
    """What was looked at, a sentence."""
    sample, facts = proposal.sample, proposal.facts
    rows = f"{'all' if sample.is_whole else 'the first'} {number(facts.rows)} rows of {sample.path}"
    others = f" (the first of {sample.others + 1} files)" if sample.others else ""
    span = "" if facts.first is None else f", {facts.first} to {facts.last} (UTC)"
    return (
        f"{rows}{others}: {number(facts.events)} events of {number(facts.users)} users and "
        f"{number(facts.items)} items{span}."
    )


def _option(entry: Entry) -> list[str]:
    line = f"  {entry.key}: {_value(entry.value)}"
    if not entry.why:
        return [line]
    why = printable(entry.why).replace("\n", " ")
    if len(line) + len(why) + 4 <= _WIDTH:
        return [f"{line}  # {why}"]
    return [*_comment(why, "  "), line]


def _comment(text: str, indent: str = "") -> list[str]:
    plain = printable(text).replace("\n", " ")
    return textwrap.wrap(
        plain, _WIDTH, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}#   "
    )


def _value(value: Any) -> str:
    """A value in YAML; ``$`` is escaped, as OmegaConf would resolve ``${...}``."""
    if isinstance(value, list):
        return f"[{', '.join(_value(one) for one in value)}]"
    if isinstance(value, str):
        value = value.replace("${", "\\${")
    text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10**6)
    plain = text.removesuffix("\n").removesuffix("\n...")
    needs_quotes = isinstance(value, str) and plain == value and any(c in value for c in ",[]{}#:")
    return f"'{value}'" if needs_quotes else str(plain)
