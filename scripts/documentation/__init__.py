"""The documentation site: pages of ``docs/``, and the reference made from docstrings and configs.

`docstrings` reads sources, `reference` makes pages of them, `site` builds. No component is loaded.
"""
