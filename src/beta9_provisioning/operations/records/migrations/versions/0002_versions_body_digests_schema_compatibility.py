"""Versions of configurations and states, digests of bodies as sent, and which programs work with this schema (ADR 8).

Programs of revision 0001 go on working: they leave the new columns alone.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_VERSIONS = (
    ("environments", "config_version"),
    ("environments", "state_version"),
    ("operations", "config_version"),
)


def upgrade() -> None:
    for table, column in _VERSIONS:
        op.add_column(table, sa.Column(column, sa.Integer(), server_default=sa.text("1"), nullable=False))
    op.add_column("idempotency_keys", sa.Column("body_digest", sa.Text(), nullable=True))
    compatibility = op.create_table(
        "schema_compatibility",
        sa.Column("oldest_program", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("oldest_program"),
    )
    op.bulk_insert(compatibility, [{"oldest_program": "0001"}])


def downgrade() -> None:
    op.drop_table("schema_compatibility")
    op.drop_column("idempotency_keys", "body_digest")
    for table, column in reversed(_VERSIONS):
        op.drop_column(table, column)
