"""The command line.

`main` dispatches to a verb and sets the exit code, `app` composes and checks the config with
Hydra, `arguments` reads what was typed, and the module of a verb in `verbs` calls the package that
does the work.
"""
