"""A worker process of a sweep: ``python -m recsys_lab.sweeps PLAN.json NAME [SECONDS OVER]``.

It begins no trial after SECONDS, nor once the file OVER exists.
"""

import signal
import sys

from recsys_lab.config import Interrupted
from recsys_lab.config.signals import stopped_by_signals


def main() -> int:
    """Run the worker; the exit code."""
    # SLURM signals its time limit to all processes of a job; the parent handles it.
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    try:
        with stopped_by_signals():
            from recsys_lab.sweeps.worker import work  # torch: a signal must not be lost meanwhile

            return work(sys.argv[1:])
    except (Interrupted, KeyboardInterrupt):
        return 130


if __name__ == "__main__":
    sys.exit(main())
