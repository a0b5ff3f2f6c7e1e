"""Alembic's entry; the connection comes from modelport_kit.database.migrate."""

from alembic import context

from modelport_models.tables import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA, render_as_batch=True)
context.run_migrations()
