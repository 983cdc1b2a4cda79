"""Options that hold a name of the lab or a class of the user's own, with options of its own."""

from __future__ import annotations

import logging
import subprocess
import sys
from dataclasses import dataclass
from textwrap import dedent

import pytest
from omegaconf import OmegaConf

from recsys_lab.config import (
    Choice,
    Component,
    UserError,
    build_chosen,
    check_config,
)
from recsys_lab.config.build import _warn_renamed
from recsys_lab.config.literal_secrets import literal_secrets
from recsys_lab.config.schema import schema_of_target, targets_of

KINDS = """
    from annotated_types import Ge
    from typing import Annotated
    from recsys_lab.config import Choice, Chosen

    PAINT = Choice("paint", "recsys_lab.losses", {"red": "bce.BCELoss", "blue": "bpr.BPRLoss"},
                   renamed={"rouge": "red"})
    Paint = Annotated[Chosen, PAINT]
"""
BASE = """
    import not_installed_anywhere
    from dataclasses import dataclass
    from open_kinds import Paint

    @dataclass(frozen=True)
    class Shared:
        paint: Paint
        size: int

    class Base:
        @dataclass(frozen=True)
        class Config(Shared):
            paints: list[Paint]
            spare: "Paint | None"
"""
HOUSE = """
    from dataclasses import dataclass, field
    from open_base import Base

    class Plain(Base):
        pass

    class House(Base):
        @dataclass(frozen=True)
        class Config(Base.Config):
            by_room: dict[str, Paint] = field(default_factory=dict)
            size: float
            doors: int = field(kw_only=True)

    from open_kinds import Paint
"""
MINE = """
    from dataclasses import dataclass
    from typing import Annotated
    from annotated_types import Ge

    class Mine:
        @dataclass(frozen=True)
        class Config:
            gloss: Annotated[float, Ge(0)]

        def __init__(self, config, *, wall):
            self.gloss, self.wall = config.gloss, wall
"""


@dataclass(frozen=True)
class Top:
    data: Component


@pytest.fixture(autouse=True)
def modules(tmp_path, monkeypatch):
    """`open_base` cannot be imported: what it says is read."""
    texts = {"open_kinds": KINDS, "open_base": BASE, "open_house": HOUSE, "open_mine": MINE}
    for name, text in texts.items():
        (tmp_path / f"{name}.py").write_text(dedent(text))
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("RECSYS_LAB_ALLOWED_TARGETS", ",".join(texts))


def problems(**changes) -> list[str]:
    values = {"paint": "red", "size": 1, "paints": [], "spare": None, "doors": 1}
    node = {"_target_": "open_house.House", **values, **changes}
    try:
        check_config(OmegaConf.create({"data": node}), Top)
    except UserError as error:
        return [line.strip() for line in str(error).splitlines()[1:]]
    return []


MINE_NODE = {"_target_": "open_mine.Mine", "gloss": 0.5}
ALLOWED = "one of 'red', 'blue' or a mapping with _target_"


def test_options_are_inherited_by_source_alone():
    house, plain = (schema_of_target(f"open_house.{name}") for name in ("House", "Plain"))
    assert list(house.types) == ["paint", "size", "paints", "spare", "by_room", "doors"]
    assert house.types["size"] is float
    assert house.required == {"paint", "size", "paints", "spare", "doors"}
    assert list(plain.types) == ["paint", "size", "paints", "spare"]
    assert plain.types["size"] is int
    assert not {"open_base", "open_kinds", "open_house"} & {*sys.modules}


@pytest.mark.parametrize("call", ["open('ran', 'w')", "Literal.__class__('x')", "[].append(1)"])
def test_a_call_in_an_annotation_is_not_run(tmp_path, monkeypatch, call):
    monkeypatch.chdir(tmp_path)
    lines = ["import not_installed_anywhere", "from typing import Literal", "class A:",
             "    @dataclass", "    class Config:", f"        x: {call}"]  # fmt: skip
    (tmp_path / "open_mine.py").write_text("\n".join(lines))
    with pytest.raises(ModuleNotFoundError, match="not_installed_anywhere"):
        schema_of_target("open_mine.A")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "changes",
    [
        {"paint": "blue"}, {"paint": "rouge"}, {"paint": MINE_NODE}, {"spare": MINE_NODE},
        {"paints": ["red", MINE_NODE]}, {"by_room": {"attic": MINE_NODE, "hall": "red"}},
    ],
)  # fmt: skip
def test_names_and_nodes_pass(changes):
    assert problems(**changes) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"paint": "bleu"},
            f"data.paint: expected {ALLOWED}, got 'bleu' (str); did you mean 'blue'?",
        ),
        ({"paint": 3}, f"data.paint: expected {ALLOWED}, got 3 (int)."),
        (
            {"paints": ["red", "grey"]},
            f"data.paints[1]: expected {ALLOWED}, got 'grey' (str).",
        ),
        (
            {"paints": "red"},
            f"data.paints: expected a list, each item {ALLOWED}, got 'red' (str).",
        ),
        (
            {"spare": {"gloss": 1}},
            "data.spare: expected a mapping with _target_, got {'gloss': 1}.",
        ),
        (
            {"paints": ["red", {**MINE_NODE, "gloss": -1.0}]},
            "data.paints[1].gloss: expected a float >= 0, got -1.0 (float).",
        ),
        (
            {"by_room": {"attic": {"_target_": "open_mine.Mine", "glos": 1}}},
            "data.by_room.attic.glos: Mine has no option 'glos'; did you mean 'gloss'? "
            "Options: gloss.",
        ),
        (
            {"paint": {"_target_": "open_mine.Mine"}},
            "data.paint.gloss: missing; Mine needs it, and no config sets it.",
        ),
        (
            {"paint": {"_target_": "open_mine.Min", "gloss": 1}},
            "data.paint._target_: open_mine has no class 'Min'; did you mean 'Mine'?",
        ),
        (
            {"paint": {"_target_": "recsys_lab.models.classical.random.Random"}},
            "data.paint._target_: 'recsys_lab.models.classical.random.Random' is not a paint "
            "component of the lab; expected a class in recsys_lab.losses.",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_path(changes, message):
    assert problems(**changes) == [message]


def test_only_allowed_targets(monkeypatch):
    monkeypatch.setenv("RECSYS_LAB_ALLOWED_TARGETS", "open_house,open_base,open_kinds")
    [message] = problems(paints=[MINE_NODE])
    assert message.startswith("data.paints[0]._target_: 'open_mine.Mine' is not under an allowed")
    allowed = "open_house,open_base,open_kinds,open_mine"  # those of before stay allowed
    assert message.endswith(f"export RECSYS_LAB_ALLOWED_TARGETS={allowed}")


def test_the_origin_of_a_chosen_node_is_that_of_its_option():
    class Sources:
        def origin(self, path):
            return f"(from {path})"

        def elsewhere(self, *_):
            return ""

    node = {"_target_": "open_house.House", "paints": [{"_target_": "open_mine.Mine"}]}
    node |= {"paint": "red", "size": 1, "spare": None, "doors": 1}
    with pytest.raises(UserError, match=r"gloss: missing; .* \(from data\.paints\)"):
        check_config(OmegaConf.create({"data": node}), Top, Sources())


PAINT = Choice(
    "paint", "tests.test_open_options", {"red": "Red"}, base="Base", renamed={"rouge": "red"}
)


class Base:
    def __init__(self, wall: str) -> None:
        self.wall = wall


class Red(Base):
    pass


def test_names_and_nodes_are_made(caplog):
    assert type(build_chosen(PAINT, "red", wall="north")) is Red
    _warn_renamed.cache_clear()
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert build_chosen(PAINT, "rouge", wall="north").wall == "north"
    [said] = caplog.messages
    assert said.startswith("the paint rouge is now red; use the new name: ")
    free = Choice("paint", "tests", {})
    made = build_chosen(free, MINE_NODE, wall="south")
    assert (made.gloss, made.wall) == (0.5, "south")
    with pytest.raises(UserError, match=r"open_mine\.Mine: .*unexpected.*'glos'"):
        build_chosen(free, {"_target_": "open_mine.Mine", "glos": 1}, wall="south")


def test_a_class_of_another_kind_is_refused():
    with pytest.raises(
        UserError,
        match=r"Mine is not a valid paint: derive it from tests\.test_open_options\.Base",
    ):
        build_chosen(PAINT, MINE_NODE, wall="south")


def test_the_classes_that_a_config_names():
    node = {"_target_": "open_house.House", "paint": "rouge", "paints": [MINE_NODE, "blue"]}
    assert list(targets_of(node)) == [
        "open_house.House", "recsys_lab.losses.bce.BCELoss", "open_mine.Mine",
        "recsys_lab.losses.bpr.BPRLoss",
    ]  # fmt: skip


def test_every_component_of_the_lab_is_read_and_none_imported():
    code = dedent("""
        import sys, yaml
        from recsys_lab.config import config_dir, schema
        schema.import_class = None
        for file in sorted(config_dir().glob("*/*.yaml")):
            node = yaml.safe_load(file.read_text())
            if "_target_" in node:
                assert schema.schema_of_target(node["_target_"], file.parent.name).types is not None
        assert "torch" not in sys.modules
    """)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_secret_in_a_chosen_node_is_refused():
    node = {"_target_": "open_mine.Mine", "api_key": "s3cr3tvalue99"}
    for value, path in ((node, "data.paint"), ([node], "data.paint")):
        [problem] = literal_secrets(OmegaConf.create({"data": {"paint": value}}))
        assert problem.startswith(f"{path}.api_key: contains a secret. Remove it")
        assert "s3cr3tvalue99" not in problem
