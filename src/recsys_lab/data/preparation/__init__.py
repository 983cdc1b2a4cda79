"""The steps from a raw log to the files of a prepared dataset, in bounded memory.

In order: `encode_events` on an engine, `history_filters` on coded arrays, the split, `leaks` and
`statistics`, then `write` and the `manifest`.
"""
