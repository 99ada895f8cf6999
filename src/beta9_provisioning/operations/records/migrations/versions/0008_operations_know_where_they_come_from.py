"""Operations know where they come from: the request's id, and its place in a trace.

Programs of every earlier revision go on working: they leave both empty.
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_COLUMNS = ("request_id", "traceparent")


def upgrade() -> None:
    for column in _COLUMNS:
        op.add_column("operations", sa.Column(column, sa.Text(), nullable=True))


def downgrade() -> None:
    for column in reversed(_COLUMNS):
        op.drop_column("operations", column)
