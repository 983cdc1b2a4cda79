"""torchmetrics is imported in part, and works in full."""

import json
import subprocess
import sys

START = """
import json, os, sys
import recsys_lab
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat
import recsys_lab.evaluation.metrics.user_mean as lab
assert lab.Metric is Metric
assert not {"transformers", "scipy.signal", "torchmetrics.functional"} & {*sys.modules}
failed = []
for use in json.loads(sys.argv[1]):
    if os.fork() == 0:  # each finds torchmetrics as it was at the start
        exec(use)
        sys.stdout.flush()
        os._exit(0)
    if os.wait()[1]:
        failed.append(use)
assert not failed, failed
"""

USES = [
    "import pytorch_lightning\nassert 'torchmetrics.functional' not in sys.modules",
    "import torchmetrics as t\nassert t.Metric is Metric and issubclass(t.MeanMetric, Metric)",
    "from torchmetrics import Accuracy, functional\nassert functional.accuracy",
    "from torchmetrics.retrieval import RetrievalMRR\nassert issubclass(RetrievalMRR, Metric)",
    "import torchmetrics\nassert torchmetrics.__version__ and not hasattr(torchmetrics, 'no_such')",
    "from torchmetrics import *\nassert issubclass(Accuracy, Metric)",
    "import torchmetrics\nfrom multiprocessing.pool import ThreadPool\n"
    "assert len({*ThreadPool(4).map(lambda _: torchmetrics.Accuracy, range(4))}) == 1",
]


def test_the_rest_is_imported_when_it_is_used():
    command = [sys.executable, "-c", START, json.dumps(USES)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
