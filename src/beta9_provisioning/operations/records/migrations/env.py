"""Alembic's entry: runs migrations on the connection that `migrate` opened."""

from alembic import context

from beta9_provisioning.operations.records.model import Base

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=Base.metadata, transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
