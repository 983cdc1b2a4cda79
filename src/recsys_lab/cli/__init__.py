"""The command line, with one module per verb.

`main` dispatches to a verb and sets the exit code, `app` composes and checks the config with Hydra,
and the module of a verb calls the package that does the work.
"""
