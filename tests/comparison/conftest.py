import pytest

from tests.comparison.made_runs import two_systems


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return two_systems(tmp_path_factory.mktemp("shop") / "runs")
