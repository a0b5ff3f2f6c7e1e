"""After the last byte: the clock everybody shares, and the access log, written in batches off the hot path."""
