"""One local page over the runs, sweeps and comparisons below a folder.

A request looks at the files (`scan`, `index`: only records that changed are read again), selects
rows as its query says (`query`), and renders the parts of the page (`view`, with the charts of
`curves` and `parallel`, and the `studies`). The page's script only sends the query of the page's
address again, and replaces what changed. `comparing` runs ``recsys-lab compare``, `site` maps
addresses to answers, and `server` speaks HTTP. Nothing is written below the folder.
"""
