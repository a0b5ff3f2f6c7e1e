"""The HTTP interface of the secrets service (docs/wire.md, 3.3)."""
