"""Raw log -> prepared dataset -> batches; one file per source."""
