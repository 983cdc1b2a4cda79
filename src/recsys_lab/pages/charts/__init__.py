"""Charts as inline SVG or HTML, one file a kind: no script, colours of the page's style sheet."""
