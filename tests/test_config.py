"""The config checker: every message names the path, what was got and what is allowed."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import Annotated

import pytest
from annotated_types import Ge
from omegaconf import OmegaConf

from recsys_lab.config import Component, UserError, build, check_config, config_dir, config_values
from recsys_lab.config.schema import schema_of_target
from recsys_lab.config.targets import find_source

PARTS = """
    from __future__ import annotations

    from dataclasses import dataclass
    from typing import Annotated, Literal

    import not_installed_anywhere
    from annotated_types import Ge, Lt
    from annotated_types import Gt as Above

    Share = Annotated[float, Ge(0), Lt(1)]


    class Net:
        @dataclass(frozen=True)
        class Config:
            num_layers: Annotated[int, Above(0)]
            dropout: Share
            norm: Literal["pre", "post"]
            ks: list[int]
            note: str | None

        def __init__(self, config, *, num_items):
            self.config, self.num_items = config, num_items
"""
VALUES = {"num_layers": 2, "dropout": 0.1, "norm": "pre", "ks": [1, 5], "note": None}


@dataclass(frozen=True)
class Top:
    model: Component
    seed: Annotated[int, Ge(0)]
    name: str | None


@pytest.fixture
def parts(tmp_path, monkeypatch):
    """Writes the user's own modules; the first cannot be imported, only read."""

    def write(name: str, text: str) -> None:
        (tmp_path / f"{name}.py").write_text(dedent(text))
        monkeypatch.delitem(sys.modules, name, raising=False)

    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("RECSYS_LAB_ALLOWED_TARGETS", "lab_parts, lab_more.")
    write("lab_parts", PARTS)
    return write


def config(**changes):
    model = {"_target_": "lab_parts.Net", **VALUES, **changes}
    return OmegaConf.create({"model": model, "seed": 0, "name": None})


def problems(cfg) -> list[str]:
    with pytest.raises(UserError) as caught:
        check_config(cfg, Top)
    return [line.strip() for line in str(caught.value).splitlines()]


@pytest.mark.usefixtures("parts")
class TestComponents:
    def test_a_good_config_passes_without_importing_its_module(self):
        check_config(config(), Top)
        assert "lab_parts" not in sys.modules

    def test_unknown_option(self):
        cfg = config()
        cfg.model.num_layer = 3
        assert problems(cfg) == [
            "1 problem in the config:",
            "model.num_layer: Net has no option 'num_layer'; did you mean 'num_layers'? "
            "Options: num_layers, dropout, norm, ks, note.",
        ]

    def test_a_misspelt_option_is_not_also_reported_as_missing(self):
        cfg = config()
        del cfg.model["num_layers"]
        cfg.model.num_layer = 3
        assert len(problems(cfg)) == 2

    def test_missing_options(self):
        cfg = config(dropout="???")
        del cfg.model["note"]
        assert problems(cfg)[1:] == [
            "model.dropout: missing; give a float >= 0 and < 1: model.dropout=...",
            "model.note: missing; Net needs it, and no config sets it.",
        ]

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"num_layers": "two"}, "num_layers: expected an int > 0, got 'two' (str)."),
            ({"num_layers": 2.0}, "num_layers: expected an int > 0, got 2.0 (float)."),
            ({"num_layers": True}, "num_layers: expected an int > 0, got True (bool)."),
            ({"num_layers": 0}, "num_layers: expected an int > 0, got 0 (int)."),
            ({"dropout": 1.0}, "dropout: expected a float >= 0 and < 1, got 1.0 (float)."),
            ({"dropout": None}, "dropout: expected a float >= 0 and < 1, got None (NoneType)."),
            (
                {"norm": "poste"},
                "norm: expected one of 'pre', 'post', got 'poste' (str); did you mean 'post'?",
            ),
            ({"ks": [1, "x"]}, "ks: expected a list, each item an int, got [1, 'x'] (list)."),
            ({"note": 5}, "note: expected text or null, got 5 (int)."),
        ],
    )
    def test_wrong_values(self, change, message):
        assert problems(config(**change))[1:] == [f"model.{message}"]

    def test_an_int_is_a_float(self):
        check_config(config(dropout=0), Top)

    def test_interpolations_are_resolved_before_the_check(self):
        check_config(config(num_layers="${model.ks.1}"), Top)
        [_, message] = problems(config(num_layers="${nowhere}"))
        assert message.startswith("model.num_layers: cannot be resolved: ")
        assert "nowhere" in message

    def test_everything_at_once(self):
        cfg = config(num_layers="x", drop=1)
        cfg.seed, cfg.sed = -1, 3
        found = problems(cfg)
        assert found[0] == "4 problems in the config:"
        assert [line.split(":")[0] for line in found[1:]] == [
            "seed",
            "sed",
            "model.num_layers",
            "model.drop",
        ]

    def test_a_top_level_typo_may_mean_an_option(self):
        cfg = config()
        cfg.num_layers = 3
        assert problems(cfg)[1] == (
            "num_layers: no such key; did you mean 'model.num_layers'? Keys: model, seed, name."
        )

    def test_missing_top_level_keys(self):
        cfg = OmegaConf.create({"seed": "???"})
        assert problems(cfg)[1:] == [
            "seed: missing; give an int >= 0: seed=...",
            "model: missing, and no config sets it; give model=...",
            "name: missing, and no config sets it; give name=...",
        ]

    def test_a_component_must_have_a_target(self):
        cfg = config()
        cfg.model = {"num_layers": 3}
        assert problems(cfg)[1].startswith("model: expected a mapping with _target_, got {")


class TestTargets:
    @pytest.mark.parametrize(
        ("target", "message"),
        [
            ("os.system", "'os.system' is not under an allowed prefix (recsys_lab, lab_parts,"),
            ("lab_partsx.Net", "'lab_partsx.Net' is not under an allowed prefix"),
            ("recsys_labs.x.Y", "'recsys_labs.x.Y' is not under an allowed prefix"),
            ("Net", "expected 'package.module.Class', got 'Net'."),
            ("lab_parts.Net()", "expected 'package.module.Class', got 'lab_parts.Net()'."),
            (3, "expected 'package.module.Class', got 3."),
            ("lab_parts.Nett", "lab_parts has no class 'Nett'; did you mean 'Net'?"),
            ("recsys_lab.conifg.X", "no module 'recsys_lab.conifg'"),
            (
                "recsys_lab.config.valuse.X",
                "no module 'recsys_lab.config.valuse'; did you mean 'values'?",
            ),
        ],
    )
    def test_refused(self, parts, target, message):  # noqa: ARG002
        with pytest.raises(UserError) as caught:
            schema_of_target(target)
        assert str(caught.value).startswith(message)

    def test_a_config_file_cannot_allow_itself(self, monkeypatch):
        monkeypatch.delenv("RECSYS_LAB_ALLOWED_TARGETS", raising=False)
        cfg = config()
        cfg.allowed_targets = ["lab_parts"]
        assert any("export RECSYS_LAB_ALLOWED_TARGETS=lab_parts" in line for line in problems(cfg))

    def test_a_class_that_a_module_merely_imported_is_not_its_component(self):
        with pytest.raises(UserError, match="has no class 'Path' with a nested Config"):
            build({"_target_": "recsys_lab.models.inputs.hub.Path"})

    def test_functions_are_not_components(self):
        with pytest.raises(
            UserError, match="has no class 'next_item_targets' with a nested Config"
        ):
            build({"_target_": "recsys_lab.models.sequential.layers.next_item_targets"})

    def test_sources_are_found_without_importing_parents(self, tmp_path, monkeypatch):
        (tmp_path / "heavy_parent").mkdir()
        (tmp_path / "heavy_parent/__init__.py").write_text("raise RuntimeError('imported')")
        (tmp_path / "heavy_parent/child.py").write_text("")
        monkeypatch.syspath_prepend(tmp_path)
        assert find_source("heavy_parent.child") == tmp_path / "heavy_parent/child.py"
        assert find_source("heavy_parent.other") is None


class TestSchemaByImport:
    """Where the source alone does not say the options, the module is imported."""

    def test_inherited_config(self, parts):
        parts(
            "lab_more",
            """
            from dataclasses import dataclass, field

            class Base:
                @dataclass(frozen=True)
                class Config:
                    width: int

            class Wide(Base):
                @dataclass(frozen=True)
                class Config(Base.Config):
                    depth: int
                    tags: list[str] = field(default_factory=list)

            class Same(Base):
                pass
            """,
        )
        wide, same = schema_of_target("lab_more.Wide"), schema_of_target("lab_more.Same")
        assert wide.types == {"width": int, "depth": int, "tags": list[str]}
        assert wide.required == {"width", "depth"}
        assert same.types == {"width": int}

    def test_a_default_makes_an_option_optional(self, parts):
        parts(
            "lab_more",
            """
            class A:
                @dataclass
                class Config:
                    width: int
                    depth: "int | None" = 3
            """,
        )
        schema = schema_of_target("lab_more.A")
        assert schema.required == {"width"}
        assert schema.types["depth"] == int | None
        assert "lab_more" not in sys.modules


class TestBuild:
    def test_values_and_extras_arrive(self, parts):
        parts("lab_more", PARTS.replace("import not_installed_anywhere", ""))
        node = config(_target_="lab_more.Net", num_layers="${seed}").model
        net = build(node, num_items=7)
        assert net.num_items == 7
        assert net.config.num_layers == 0
        assert type(net.config.ks) is list
        assert config_values(node) == {**VALUES, "num_layers": 0}

    def test_options_that_are_not_its_own(self, parts):
        parts("lab_more", PARTS.replace("import not_installed_anywhere", ""))
        with pytest.raises(UserError, match=r"lab_more\.Net: .*unexpected.*'depth'"):
            build({"_target_": "lab_more.Net", **VALUES, "depth": 1}, num_items=7)

    def test_a_module_that_is_broken_inside_is_not_the_users_mistake(self, parts):  # noqa: ARG002
        with pytest.raises(ModuleNotFoundError, match="not_installed_anywhere"):
            build({"_target_": "lab_parts.Net", **VALUES})


def test_the_configs_are_found():
    assert (config_dir() / "train.yaml").is_file()
    assert isinstance(config_dir(), Path)
