"""What starts a sweep's worker processes: this machine, SLURM, Ray. One file each.

A launcher is a component: a class with a ``Config`` and the methods of `base.Launcher`.
"""
