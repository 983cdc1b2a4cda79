"""Raw log -> prepared dataset -> batches.

A reader of `sources` gives a `raw.RawData`; `prepare` filters, orders, splits and stores it on an
engine; `prepared` reads that back from memory-mapped arrays; `batches` feeds models. Other packages
import these four, `slice_columns` and what they check data with.
"""
