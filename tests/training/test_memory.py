"""Freed memory goes back to the system."""

import subprocess
import sys

import pytest

CODE = """
import ctypes
from recsys_lab.training.memory import return_freed_memory
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
rss = lambda: int(open("/proc/self/statm").read().split()[1]) // 256
size = 100 << 10  # below the threshold at which glibc maps memory of its own
blocks = [libc.malloc(size) for _ in range(2000)]
for block in blocks:
    ctypes.memset(block, 1, size)
pin = libc.malloc(size)  # at the end of the heap: nothing below it is given back by itself
full = rss()
for block in blocks:
    libc.free(block)
held = rss()
return_freed_memory()
print(full, held, rss())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="malloc_trim is glibc's")
def test_freed_memory_is_returned():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    full, held, after = map(int, done.stdout.split())
    assert held > full - 50  # MiB: freeing alone returns nothing here
    assert after < full - 150
