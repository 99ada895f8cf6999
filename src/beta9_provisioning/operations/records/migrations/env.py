"""Alembic's entry: runs migrations on `migrate`'s connection, each in a transaction of its own."""

from alembic import context

from beta9_provisioning.operations.records.model import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    transactional_ddl=True,
    transaction_per_migration=True,
)
with context.begin_transaction():
    context.run_migrations()
