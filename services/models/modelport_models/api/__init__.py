"""The HTTP interface of the models service (docs/wire.md, 3.3)."""
