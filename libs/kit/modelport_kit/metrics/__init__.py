"""Metrics: plain numbers that the event loop writes, and one thread that shows them at /metrics (docs/metrics.md)."""
