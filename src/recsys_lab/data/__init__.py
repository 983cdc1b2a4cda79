"""Raw log -> prepared dataset -> batches.

A reader of `sources` returns `raw.RawData`; `prepare` filters, sorts, splits and stores it on an
engine; `prepared` memory-maps the stored arrays; `batches` feeds models. Other packages import
these four, `slice_columns` and the checks of data.
"""
