"""The resources of the HTTP interface as clients see them (docs/wire.md, 3.3).

`<Resource>` is what replies show, `<Resource>Create` and the like what requests carry.
"""
