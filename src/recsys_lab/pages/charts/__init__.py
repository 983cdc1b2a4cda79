"""Charts as inline SVG or HTML without scripts, in the colours of the page's style sheet."""
