"""The SQL side of a service: engine and transactions, revisions and the outbox, queries, migrations.

docs/propagation.md, rules 1 to 6, say what must hold and why.
"""
