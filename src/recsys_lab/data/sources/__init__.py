"""Readers, one file each: your own tables, databases, the Hugging Face Hub, RecBole's files.

A reader is a component: a class with a ``Config``, ``source_key`` and ``read_raw``.
"""
