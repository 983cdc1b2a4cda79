"""One run from its config to its record: components, training, test, explanation, back-test.

`recorded` gives a run its folder and log, `run` does the work with the parts that `components`
builds, `test_results` opens the test split. Verbs and sweeps import this package; it imports
everything that a run needs.
"""
