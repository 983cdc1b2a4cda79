"""Pages for people: self-contained HTML, readable offline, in light and dark, and on a phone."""
