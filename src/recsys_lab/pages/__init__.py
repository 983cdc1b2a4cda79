"""Output for readers: self-contained HTML pages, charts, tables, and the terminal."""
