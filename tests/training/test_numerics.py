"""Which numbers a device computes with: settings in effect, refused, restored."""

import os

import pytest
import torch
from omegaconf import OmegaConf

from recsys_lab.config import UserError, build, check_config
from recsys_lab.contracts import RankedLists, matmul_precision
from recsys_lab.evaluation.protocols.base import ranked_lists
from recsys_lab.training.numerics import in_effect, numerics, refuse_precision
from recsys_lab.training.recipe import Recipe
from tests.models.test_contracts import batch_of
from tests.training.test_looks import trained
from tests.training.test_resume import options

WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"


def recipe(**changes) -> Recipe:
    return build(options("recipe", "default", **changes))


@pytest.fixture
def gpu(monkeypatch):
    """A GPU of some compute capability, with bfloat16 from 8 on."""

    def of(capability):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (capability, 0))
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Some GPU")
        monkeypatch.setattr(
            torch.cuda,
            "is_bf16_supported",
            lambda including_emulation=True: including_emulation or capability >= 8,
        )

    return of


@pytest.mark.parametrize(
    ("capability", "asked", "used"),
    [
        (9, "highest", "highest"), (9, "high", "high"), (9, "medium", "high"),
        (7, "high", "highest"), (None, "high", "highest"), (None, "medium", "highest"),
    ],
)  # fmt: skip
def test_the_precision_of_products_is_that_of_the_device(gpu, capability, asked, used):
    if capability is not None:
        gpu(capability)
    made = recipe(matmul_precision=asked, accelerator="cpu" if capability is None else "auto")
    assert in_effect(made)["matmul_precision"] == used
    with numerics(made):
        assert torch.backends.cuda.matmul.allow_tf32 is (used == "high")
        # The processor's own setting, under which "medium" would be bfloat16 on some.
        assert torch.backends.mkldnn.matmul.fp32_precision == "none"
        # Of torch's other settings, Lightning and Inductor read this one.
        assert torch.get_float32_matmul_precision() == used
    assert torch.backends.cuda.matmul.allow_tf32 is False


def test_lists_are_ranked_in_full_precision():
    seen = []

    class Model:
        def recommend(self, batch, k, exclude):
            del batch, exclude
            seen.append(torch.backends.cuda.matmul.allow_tf32)
            return RankedLists(torch.arange(k)[None], -torch.arange(k)[None].float())

    with matmul_precision("high"):
        ranked_lists(Model(), batch_of([[1, 2]]), 3, None, 5)
        assert torch.backends.cuda.matmul.allow_tf32
    assert seen == [False]


def test_deterministic_kernels_during_the_training_alone(monkeypatch):
    monkeypatch.delenv(WORKSPACE, raising=False)

    def state():
        filled = torch.utils.deterministic.fill_uninitialized_memory
        return torch.are_deterministic_algorithms_enabled(), filled

    before = state()
    with numerics(recipe(deterministic=True)):
        assert state() == (True, False)
        assert os.environ[WORKSPACE] == ":4096:8"
    assert state() == before == (False, True)
    with pytest.raises(KeyError), numerics(recipe(deterministic=True)):
        raise KeyError
    assert state() == before
    with numerics(recipe()):
        assert state() == before


def test_a_training_runs_with_all_of_them(tmp_path, monkeypatch):
    """Lightning reads torch's settings when it starts, and raises if they contradict."""
    monkeypatch.setenv(WORKSPACE, ":16:8")  # the user's own is kept
    wanted = recipe(deterministic=True, matmul_precision="medium", accelerator="cpu")
    with numerics(wanted), matmul_precision("high"):
        trained(tmp_path, 3, max_epochs=1)
    assert in_effect(wanted) == {
        "precision": "32",
        "matmul_precision": "highest",
        "deterministic": True,
        "fill_uninitialized_memory": False,
        "cublas_workspace": None,
    }


def test_a_precision_that_the_device_lacks_is_refused(gpu):
    gpu(7)
    with pytest.raises(UserError, match=r"bf16-mixed: Some GPU has no bfloat16; use 16-mixed, 32"):
        refuse_precision(recipe(precision="bf16-mixed"))
    refuse_precision(recipe(precision="16-mixed"))
    gpu(9)
    refuse_precision(recipe(precision="bf16-mixed"))


def test_half_precision_on_a_cpu_is_refused_in_the_config():
    given = options("recipe", "default", precision="16-mixed", accelerator="cpu")
    with pytest.raises(
        UserError,
        match=r"recipe.precision: got 16-mixed with recipe.accelerator=cpu; half precision needs a",
    ):
        check_config(OmegaConf.create({"recipe": given}))
    check_config(OmegaConf.create({"recipe": {**given, "accelerator": "auto"}}))
