"""How a study is stored: the backends, the journal file, retries, and Optuna's internals."""
