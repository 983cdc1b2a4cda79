import gc
import warnings
from pathlib import Path

import pytest

from tests.data.conftest import engines


@pytest.fixture(scope="package", autouse=True)
def one_spark():
    """The engine joins a session that runs; starting one for each test would take long."""
    with engines("spark").open(Path()):
        yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
