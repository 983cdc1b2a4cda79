"""README and docs: the site builds without a warning, links and commands are right.

The tutorial's commands are run. Of all others the config is composed and checked, which finds
options that are no more; two how-tos are followed to the letter in an empty folder.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import fields
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

import pytest
from omegaconf import OmegaConf
from scripts.documentation import reference
from scripts.documentation.notes import with_notes
from scripts.documentation.site import build

from recsys_lab.cli import app
from recsys_lab.cli.main import run_command
from recsys_lab.config import UserError, config_dir
from recsys_lab.config.help import keys
from recsys_lab.contracts import Traits, check_model

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
TUTORIAL = ROOT / "docs" / "tutorial.md"
FLAGS = re.DOTALL | re.MULTILINE
NAMED_BLOCK = r"`([\w/]+\.(?:py|yaml))`(?:(?!\n\n).)*\n\n```\w+\n(.*?)^```"
TINY = ["data.num_users=200", "data.num_items=60", "tracking=none"]


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(page: Path, language: str) -> list[str]:
    """The code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), FLAGS)


def commands(page: Path) -> Iterator[tuple[list[str], str]]:
    """Arguments of every ``recsys-lab`` in the page's consoles, and the output shown below it."""
    for block in [*blocks(page, "console"), *blocks(page, "bash")]:
        joined = re.sub(r"\\\n\s*", "", block)
        with_prompt = joined.startswith("$ ")
        for part in (
            re.split(r"^\$ ", joined, flags=re.MULTILINE) if with_prompt else joined.splitlines()
        ):
            line, _, output = part.partition("\n")
            words = shlex.split(line, comments=True)
            if words[:1] == ["recsys-lab"]:
                yield words[1:], output


class Links(HTMLParser):
    """Everything that a page refers to, and the places in it that can be referred to."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.fetched: list[str] = []
        self.anchors = {""}
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {key: value for key, value in attrs if value is not None}
        self.anchors |= {values[key] for key in ("id", "name") if key in values}
        fetched = [values["src"]] if "src" in values else []
        if tag == "link" and values.get("rel") != "canonical" and "href" in values:
            fetched.append(values["href"])
        self.fetched += fetched
        self.targets += fetched + ([values["href"]] if tag == "a" and "href" in values else [])


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    return build(tmp_path_factory.mktemp("docs"))


def test_links_and_anchors_of_the_site_lead_somewhere_and_nothing_is_fetched(site):
    pages = {page: Links(page) for page in site.rglob("*.html") if page.name != "404.html"}
    assert len(pages) > 50
    broken = []
    for page, links in pages.items():
        assert not [target for target in links.fetched if urlsplit(target).netloc]
        for target in links.targets:
            address, anchor = urldefrag(target)
            if urlsplit(address).scheme:
                continue
            file = (page.parent / unquote(address)).resolve() if address else page.resolve()
            if not file.exists() or (file in pages and unquote(anchor) not in pages[file].anchors):
                broken.append(f"{page.relative_to(site)}: {target}")
    assert not broken


def test_links_of_files_that_are_read_in_the_repository_lead_somewhere():
    broken = [
        f"{name_of(page)}: {target}"
        for page in PAGES
        for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", page.read_text())
        if not (page.parent / target).exists()
        and not target.startswith(("reference/", "../reference/"))
    ]  # generated pages are on the site alone
    assert not broken


def test_ways_through_the_code_are_short_and_name_files():
    section = (ROOT / "docs/design.md").read_text().split("## Ways through the code\n")[1]
    ways = re.findall(r"^\*\*A (.+?)\*\*(.*?)(?=^\*\*|\Z)", section.split("\n## ")[0], FLAGS)
    files = {name: list(dict.fromkeys(re.findall(r"`([\w/]+\.py)`", text))) for name, text in ways}
    assert {name: len(of) for name, of in files.items()} == {
        "batch": 12, "raw row": 12, "metric": 13, "config": 14,
    }  # fmt: skip
    assert all((ROOT / "src/recsys_lab" / file).is_file() for of in files.values() for file in of)


def test_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 200


def test_every_key_has_a_meaning():
    assert keys.keys_without_meaning() == []


def test_reference_has_every_key_of_every_choice_with_its_value():
    pages = reference.pages()
    of_overrides = ("experiment", "search", "debug")
    for group in keys.GROUPS:
        for name, file in keys.choices(group).items():
            assert f"`{group}={name}`" in pages[f"{group}.md"]
            for key, value in keys.component_values(file).items():
                if key not in ("_target_", "params") and group not in of_overrides:
                    row = next(r for r in pages[f"{group}.md"].splitlines() if f"| `{key}` |" in r)
                    assert row.count(" | ") == 3
                    assert value == "???" or keys.written(value) in pages[f"{group}.md"]


def test_reference_explains_a_key_by_its_docstring_and_the_types_range():
    page = reference.group_page("loss")
    assert "## SCELoss" in page
    (row,) = [row for row in page.splitlines() if row.startswith("| `bucket_states`")]
    assert row.endswith("| an int >= 1 | `160` |")
    (row,) = [row for row in page.splitlines() if row.startswith("| `calibration`")]
    assert row.endswith("| `0.0`: bce<br>`0.75`: gbce |")


def test_what_a_meaning_refers_to_is_on_the_page_of_notes():
    pages = with_notes(reference.pages())
    rows = [row for text in pages.values() for row in text.splitlines() if row.startswith("| `")]
    named = [row for row in rows if "`recsys_lab." in row]
    assert named
    assert not [row for row in named if re.search(r"(?<!\[)`recsys_lab\.", row)]
    assert "tree of parzen estimators" in pages["notes.md"].lower()


def test_reference_defines_every_metric():
    page = reference.metrics_page()
    options = keys.component_values(keys.choices("evaluation")["full_ranking"])
    for name in (*options["metrics"], *options["beyond_accuracy"], "auc", "value_hr"):
        assert re.search(rf"^## {name}\n\n[A-Z1]", page, re.MULTILINE), name
    assert "## mrr\n\nReciprocal rank of the first hit" in page


@pytest.fixture(scope="module")
def tutorial(tmp_path_factory) -> Path:
    """The folder in which the tutorial's commands were run as they stand there."""
    folder = tmp_path_factory.mktemp("tutorial")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("COLUMNS", "100")
        for words, shown in commands(TUTORIAL):
            with redirect_stdout(StringIO()) as out, redirect_stderr(out):
                code = run_command(words)
            told = out.getvalue()
            assert code == (2 if "problems in the config" in shown else 0), told
            if words[0] != "explain":  # which events moved a score most hangs on the last digits
                assert words_of(shown) <= words_of(told), shlex.join(words)
    return folder


def words_of(text: str) -> set[str]:
    return set(re.findall(r"[A-Za-z_@]{3,}", text))


def test_tutorial_leaves_what_it_names(tutorial):
    for name in ("first/sasrec/card.html", "comparison/report.html", "why/explanation.html"):
        assert (tutorial / name).is_file()


SHOWN = {tuple(words): name_of(page) for page in PAGES for words, _ in commands(page)}
COMPOSED = [
    pytest.param(words, id=f"{page}: {shlex.join(words)}")
    for words, page in SHOWN.items()
    # Those are run by other tests: the tutorial's, and the how-tos with files of their own.
    if page != name_of(TUTORIAL) and not {"--config-dir", "--help"} & {*words}
    if "_target_: my_" not in " ".join(words)
]


@pytest.fixture(scope="module")
def of_table(tutorial, tmp_path_factory) -> Path:
    """The tutorial's run, as if it were of a file."""
    folder = tmp_path_factory.mktemp("of_table") / "run"
    shutil.copytree(tutorial / "first/sasrec", folder)
    config = OmegaConf.load(folder / "config.yaml")
    config.data = OmegaConf.load(config_dir() / "data/table.yaml")
    OmegaConf.save(config, folder / "config.yaml")
    values = json.loads((folder / "run.json").read_text())
    del values["files"]["config.yaml"]
    (folder / "run.json").write_text(json.dumps({**values, "digest": None}))
    return folder


@pytest.mark.parametrize("words", COMPOSED)
def test_command_is_understood(words, tutorial, of_table, tmp_path, monkeypatch, capsys):
    of_file = words[0] == "retrain"
    (tmp_path / "RUN_DIR").symlink_to(of_table if of_file else tutorial / "first/sasrec")
    monkeypatch.chdir(tmp_path)
    # Everything is checked before these are called.
    monkeypatch.setattr(app, "_hydra", lambda *_: None)
    verb = words[1] if (*words[:2],) == ("runs", "prune") else words[0]
    monkeypatch.setattr(f"recsys_lab.cli.verbs.{verb}.run", lambda *_: None, raising=False)
    assert run_command(words) == 0, capsys.readouterr().err


@pytest.mark.parametrize("page", ["add-a-model.md", "add-a-dataset.md"])
def test_how_to_is_followed_to_the_letter(page, tmp_path, monkeypatch, capsys):
    text = (ROOT / "docs/how-to/add" / page).read_text()
    for name, code in re.findall(NAMED_BLOCK, text, FLAGS):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(code)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RECSYS_LAB_ALLOWED_TARGETS", "my_models")
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path])
    (words,) = [words for words, _ in commands(ROOT / "docs/how-to/add" / page)]
    small = TINY if page == "add-a-model.md" else TINY[2:]
    try:
        assert run_command([*words, "run_dir=run", *small]) == 0, capsys.readouterr().err
    finally:
        for module in [name for name in sys.modules if name.partition(".")[0] == "my_models"]:
            del sys.modules[module]
    assert "ndcg@10" in capsys.readouterr().out
    assert (tmp_path / "run" / "test_users.parquet").exists()


def test_a_model_is_told_what_it_lacks_and_may_state():
    """The page names what the code reads, no more and no less."""
    text = (ROOT / "docs/how-to/add/add-a-model.md").read_text()
    page, _, rest = text.partition("## Optional attributes")
    must = re.findall(r"^\|[^|]*\| `(\w+)", page, re.MULTILINE)
    may = re.findall(r"^\| `(\w+)", rest.partition("Optional methods")[0], re.MULTILINE)
    with pytest.raises(UserError) as caught:
        check_model(object())
    needed = re.findall(r"^(?:  ->|    ) +(\w+)", str(caught.value), re.MULTILINE)
    assert must == needed
    assert {"window", *may} == {field.name for field in fields(Traits)}
