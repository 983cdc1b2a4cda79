"""What the configs say about themselves: their choices and keys, and the meaning of each key.

`docstrings` reads sources, `keys` combines them with the YAML files, `habits` has the names that
other frameworks use. The reference of the documentation, ``recsys-lab options`` and the completion
of the shell read the same. No component is imported.
"""
