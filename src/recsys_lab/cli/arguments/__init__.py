"""Arguments of the command line: their parsers, their errors in plain words, their completion."""
