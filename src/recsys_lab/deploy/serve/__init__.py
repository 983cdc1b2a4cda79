"""One HTTP endpoint for a run, an export or the champion of a registry.

A request is parsed and checked in the event loop (`messages`, `app`), joined with others into a
batch and ranked in one thread (`batching`) by the present model (`queries.Bundle`), which another
thread replaces when the registry's champion changes (`follow`).
"""
