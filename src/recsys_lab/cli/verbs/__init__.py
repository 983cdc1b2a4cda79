"""A module per verb: ``run(cfg, output_dir)`` does its work and prints the outcome.

A module is imported after the config was checked, and only by the name of its verb.
"""
