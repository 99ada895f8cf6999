"""An index of events by time, for pruning; it is small, because events come in about this order.

Programs of every earlier revision go on working.
"""

from alembic import op

from beta9_provisioning.operations.records.online import create_index

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    create_index("ix_events_at", "events", ["at"], using="brin")


def downgrade() -> None:
    op.drop_index("ix_events_at", "events")
