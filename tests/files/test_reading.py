"""Whatever is wrong with a file is told by its name; scratch goes with its owner."""

import errno
import json
import multiprocessing
import os
from contextlib import ExitStack

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import load_file

from recsys_lab.config import Interrupted, UserError
from recsys_lab.files.locks import hold, is_held
from recsys_lab.files.reading import read_parquet, reading
from recsys_lab.files.scratch import make_scratch, sweep_scratch

READERS = {
    "json": lambda path: json.loads(path.read_text()),
    "safetensors": load_file,
    "torch": lambda path: torch.load(path, weights_only=True),
    "npz": lambda path: dict(np.load(path, allow_pickle=False)),
    "npy": lambda path: np.load(path, mmap_mode="r"),
    "parquet": pl.read_parquet,
}
CONTENT = {"empty": b"", "garbage": bytes(range(256)) * 9, "deep": b"[" * 100_000}


@pytest.mark.parametrize("content", CONTENT)
@pytest.mark.parametrize("library", READERS)
def test_a_damaged_file_is_named_whatever_reads_it(tmp_path, library, content):
    path = tmp_path / "file"
    path.write_bytes(CONTENT[content])
    said = r"file: cannot be read \(.*\).*; train again$"
    with pytest.raises(UserError, match=said), reading(path, "; train again"):
        READERS[library](path)


def test_what_is_no_file_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    irregular = "is not a regular file; x"
    for name, said in (("pipe", irregular), ("", irregular), ("loop", "Too many lev")):
        with pytest.raises(UserError, match=said):
            read_parquet(tmp_path / name, "; x")
    with pytest.raises(UserError, match="none is missing; x"):
        read_parquet(tmp_path / "none", "; x")


@pytest.mark.parametrize("error", [Interrupted("x"), OSError(errno.EIO, "Input/output error")])
def test_what_is_not_the_files_fault_passes(tmp_path, error):
    (tmp_path / "a").touch()
    with pytest.raises(type(error)) as caught, reading(tmp_path / "a", ""):
        raise error
    assert caught.value is error


def test_a_panic_of_a_library_in_rust_is_the_files_fault(tmp_path):
    (tmp_path / "a").touch()
    panic = type("PanicException", (BaseException,), {"__module__": "pyo3_runtime"})
    said = r"a: cannot be read \(out of bounds\)"
    with pytest.raises(UserError, match=said), reading(tmp_path / "a", ""):
        raise panic("out of bounds")


def test_a_look_at_a_lock_tells_and_keeps_nobody_out(tmp_path):
    path = tmp_path / ".lock"
    assert is_held(path) is False
    with hold(path, wait=False):
        assert is_held(path) is True
    assert is_held(path) is False
    (tmp_path / ".lock.lease").touch()  # no flock there: it takes a lease to know
    assert is_held(path) is None


def _owner(root, ready):
    with ExitStack() as until:
        make_scratch(root, ".made-", until)
        ready.set()
        multiprocessing.Event().wait(60)


def test_scratch_goes_with_its_owner(tmp_path):
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    owner = context.Process(target=_owner, args=(tmp_path, ready))
    owner.start()
    assert ready.wait(20)
    sweep_scratch(tmp_path, ".made-")
    assert len(list(tmp_path.iterdir())) == 1
    owner.kill()
    owner.join()
    with ExitStack() as until:
        folder = make_scratch(tmp_path, ".made-", until)
        assert list(tmp_path.iterdir()) == [folder]
    assert list(tmp_path.iterdir()) == []
