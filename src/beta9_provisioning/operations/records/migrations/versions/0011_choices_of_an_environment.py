"""What was chosen for an environment when it was first synthesized is kept with it.

Programs of every earlier revision go on working: they do not read it. What they built has none, and the cloud
knows what they chose (`Cloud.earlier_choices`).
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("environments", sa.Column("choices", postgresql.JSONB(), nullable=True))


def downgrade() -> None:
    op.drop_column("environments", "choices")
