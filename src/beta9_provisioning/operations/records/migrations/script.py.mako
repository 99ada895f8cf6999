"""${message}."""

# If programs of before cannot work after this migration, it says which is the oldest that can (ADR 8):
#     op.execute("UPDATE schema_compatibility SET oldest_program = '${up_revision}'")
# An index on a table that grows is built by `online.create_index`, alone in its migration.

import sqlalchemy as sa
from alembic import op
${imports if imports else ""}
revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = None
depends_on = None


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    ${downgrades if downgrades else "pass"}
