"""Discovery: asking every provider, again and again, what it serves (docs/wire.md, 3.4)."""
