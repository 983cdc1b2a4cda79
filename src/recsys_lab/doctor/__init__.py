"""What this machine has, and which parts of the lab can use it, for bug reports.

`examine` makes a `Report`: versions, devices, extras, launchers, and the fast paths that runs here
take or do not take, each with its reason. Nothing is downloaded, trained or written.

Used by the verb ``doctor`` only.
"""

from recsys_lab.doctor.report import Report, examine

__all__ = ["Report", "examine"]
