"""torchmetrics is imported in part, and works in full."""

import subprocess
import sys

import pytest

START = """
import sys
import recsys_lab
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat
import recsys_lab.evaluation.metrics.user_mean as lab
assert lab.Metric is Metric
assert not {"transformers", "scipy.signal", "torchmetrics.functional"} & {*sys.modules}
"""


@pytest.mark.parametrize(
    "use",
    [
        "import pytorch_lightning\nassert 'torchmetrics.functional' not in sys.modules",
        "import torchmetrics\nassert torchmetrics.Metric is Metric and torchmetrics.__version__",
        "import torchmetrics\nassert issubclass(torchmetrics.MeanMetric, Metric)",
        "from torchmetrics import Accuracy, functional\nassert functional.accuracy",
        "from torchmetrics.retrieval import RetrievalMRR\nassert issubclass(RetrievalMRR, Metric)",
        "import torchmetrics\nassert not hasattr(torchmetrics, 'no_such_name')",
        "from torchmetrics import *\nassert issubclass(Accuracy, Metric)",
        "import torchmetrics\nfrom multiprocessing.pool import ThreadPool\n"
        "assert len({*ThreadPool(4).map(lambda _: torchmetrics.Accuracy, range(4))}) == 1",
    ],
)
def test_the_rest_is_imported_when_it_is_used(use):
    done = subprocess.run([sys.executable, "-c", START + use], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
