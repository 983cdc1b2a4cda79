"""The how-tos of docs/, followed to the letter in an empty folder."""

import re
import shlex
from pathlib import Path

HOW_TO = Path(__file__).parents[2] / "docs/how-to/add"
FILE = re.compile(r"^`([\w./]+)`[^\n]*\n\n```(?:python|yaml)\n(.*?)```", re.DOTALL | re.MULTILINE)
CONSOLE = re.compile(r"```console\n(.*?)```", re.DOTALL)


def follow(name: str) -> list[list[str]]:
    """Write the files of a how-to; the arguments of its commands, without the program's name."""
    text = (HOW_TO / f"{name}.md").read_text()
    for file, content in FILE.findall(text):
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        Path(file).write_text(content)
    lines = "".join(CONSOLE.findall(text)).splitlines()
    return [shlex.split(line)[1:] for line in lines if line.startswith("recsys-lab ")]
