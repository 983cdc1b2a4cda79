"""The model card of a run, as Markdown and as an HTML page."""
