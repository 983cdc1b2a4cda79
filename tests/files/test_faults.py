"""Faults of the machine are told from others, however the library that met them says so."""

import errno
import os

import polars as pl
import pyarrow as pa
import pytest
import torch
from safetensors.torch import save_file

from recsys_lab.files.faults import machine_fault, out_of_space


def met_by(write) -> BaseException:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - each library has its own
        write("/dev/full")
    return caught.value


@pytest.mark.parametrize(
    "write",
    [
        lambda path: pl.DataFrame({"a": range(100_000)}).write_parquet(path),
        lambda path: pl.DataFrame({"a": range(100_000)}).write_csv(path),
        lambda path: pa.OSFile(path, "wb").write(b"x" * 100_000),
        lambda path: os.write(os.open(path, os.O_WRONLY), b"x"),
    ],
    ids=["polars parquet", "polars csv", "arrow", "python"],
)
def test_a_full_disk_is_known_by_every_library(write):
    error = met_by(write)
    assert out_of_space(error)
    assert "No space left on device" in machine_fault(error)


def test_safetensors_says_it_too(tmp_path):
    with pytest.raises(Exception, match=r"os error") as caught:
        save_file({"w": torch.zeros(1)}, tmp_path / "missing" / "x")
    assert machine_fault(caught.value) is None
    assert "No such file" in machine_fault(caught.value, missing=True)


def test_what_an_error_was_raised_from_counts():
    error = RuntimeError("cannot read")
    error.__cause__ = OSError(errno.EIO, "Input/output error", "a.npy")
    assert machine_fault(error).startswith("a.npy: Input/output error")


@pytest.mark.parametrize("error", [ValueError("x"), KeyError("error 28"), FileNotFoundError("a")])
def test_mistakes_are_not_blamed_on_the_machine(error):
    assert machine_fault(error) is None
