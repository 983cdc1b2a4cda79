"""The top-level keys of the verbs that use finished runs: see `recsys_lab.deploy`."""
