"""Indexes: environments by name, and the operations that have not ended.

Programs of every earlier revision go on working.
"""

from alembic import op
from sqlalchemy import text

from beta9_provisioning.operations.records.online import create_index

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    create_index(
        "ix_environments_name", "environments", ["owner", "name", text("created_at DESC"), text("id DESC")]
    )
    create_index(
        "ix_operations_unfinished",
        "operations",
        ["environment_id"],
        where="status NOT IN ('cancelled', 'failed', 'succeeded')",
    )


def downgrade() -> None:
    op.drop_index("ix_operations_unfinished", "operations")
    op.drop_index("ix_environments_name", "environments")
