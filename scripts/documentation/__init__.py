"""The documentation site: pages of ``docs/``, and the reference made from docstrings and configs.

`reference` makes pages of what `recsys_lab.config.help` reads, `notes` adds docstrings that they
refer to, `site` builds. No component is loaded.
"""
