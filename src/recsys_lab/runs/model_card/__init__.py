"""The model card of a run, as Markdown and as one HTML page, made of what the run left."""
