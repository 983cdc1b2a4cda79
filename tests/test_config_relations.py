"""What components require of one another is read from their sources, and told before any work."""

import sys
from dataclasses import dataclass
from textwrap import dedent
from typing import Annotated

import pytest
from omegaconf import OmegaConf

from recsys_lab.config import Component, OptionForModels, UserError, check_config

PARTS = """
    from dataclasses import dataclass
    from typing import Annotated

    import not_installed_anywhere
    from annotated_types import Ge
    from recsys_lab.config import Limit


    class Search:
        @dataclass(frozen=True)
        class Config:
            beams: Annotated[int, Ge(1), Limit(">=", ("lists.k", "lists.ks"), "use more beams")]


    class Lists:
        @dataclass(frozen=True)
        class Config:
            k: int
            ks: list[int]


    class Base:
        reads_sound: bool = True


    class Net(Base):
        @dataclass(frozen=True)
        class Config:
            most: Annotated[int, Limit("<=", ("search.beams", "search.width"), "use fewer")]


    class Deaf(Net):
        reads_sound = False
"""


@dataclass(frozen=True)
class Top:
    model: Component
    search: Component
    lists: Annotated[Component, OptionForModels("reads_sound", "volume", "hears")]


def problems(beams=20, model="Net", **changed):
    nodes = {
        "model": {"_target_": f"related_parts.{model}", "most": 5},
        "search": {"_target_": "related_parts.Search", "beams": beams},
        "lists": {"_target_": "related_parts.Lists", "k": 10, "ks": [1, 20]},
    }
    for path, value in changed.items():
        key, _, option = path.partition("__")
        nodes[key][option] = value
    try:
        check_config(OmegaConf.create(nodes), Top)
    except UserError as error:
        return [line.strip() for line in str(error).splitlines()[1:]]
    return []


@pytest.fixture(autouse=True)
def _parts(tmp_path, monkeypatch):
    (tmp_path / "related_parts.py").write_text(dedent(PARTS))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("RECSYS_LAB_ALLOWED_TARGETS", "related_parts")
    yield
    assert "related_parts" not in sys.modules  # read, not imported


def test_a_number_that_options_of_other_components_limit():
    assert problems(model="Deaf") == []
    assert problems(19, "Deaf") == [
        "search.beams: got 19, expected at least 20, because of lists.ks=[1, 20]; use more beams."
    ]
    assert problems(30, "Deaf", lists__k=31) == [
        "search.beams: got 30, expected at least 31, because of lists.k=31; use more beams."
    ]
    assert problems(model="Deaf", model__most=21) == [
        "model.most: got 21, expected at most 20, because of search.beams=20; use fewer."
    ]


@pytest.mark.parametrize("k", ["ten", None, True, "${lists.nothing}", "???"])
def test_what_is_no_number_is_told_once(k):
    [problem] = problems(5, "Deaf", lists__ks=[], lists__k=k)
    assert problem.startswith("lists.k: ")


def test_a_component_without_the_option_that_a_trait_of_the_model_needs():
    assert problems(model="Net") == [
        "lists: Net hears, and Lists has no option 'volume'; use one that has 'volume', or another "
        "model."
    ]
