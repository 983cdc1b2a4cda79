"""Launchers of a sweep's worker processes: this machine, SLURM and Ray.

A launcher is a component with a ``Config`` and the methods of `base.Launcher`.
"""
