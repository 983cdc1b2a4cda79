"""What a sweep found, as a page and as Markdown, read from its trials and run records."""
