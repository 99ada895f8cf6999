"""Organizations, their members, and API keys; who created an environment.

What there is belongs to the first organization, by the owner that every environment has had: `default`.
Programs of every earlier revision go on working: they know one organization and one caller of that id.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_FIRST = "INSERT INTO organizations (id, name, created_at) VALUES ('default', 'default', clock_timestamp())"


def upgrade() -> None:
    op.create_table(
        "organizations",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_organizations")),
    )
    op.create_index(
        "uq_organizations_live_name", "organizations", ["name"], unique=True,
        postgresql_where=sa.text("deleted_at IS NULL"),
    )  # fmt: skip
    op.execute(_FIRST)
    op.create_table(
        "members",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("organization_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=True),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("removed_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("kind IN ('service_account', 'user')", name=op.f("ck_members_kind")),
        sa.CheckConstraint(
            "role IN ('admin', 'operator', 'platform_admin', 'viewer')", name=op.f("ck_members_role")
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_members_organization_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_members")),
    )
    op.create_index(
        "uq_members_live_name", "members", ["organization_id", "name"], unique=True,
        postgresql_where=sa.text("removed_at IS NULL"),
    )  # fmt: skip
    op.create_index(
        "uq_members_live_subject", "members", ["subject", "organization_id"], unique=True,
        postgresql_where=sa.text("removed_at IS NULL AND subject IS NOT NULL"),
    )  # fmt: skip
    op.create_index(
        "ix_members_page", "members",
        ["organization_id", sa.literal_column("created_at DESC"), sa.literal_column("id DESC")],
    )  # fmt: skip
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("member_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("scopes", postgresql.ARRAY(sa.Text()), nullable=True),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("replaced_by", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["member_id"], ["members.id"], name=op.f("fk_api_keys_member_id")),
        sa.ForeignKeyConstraint(["replaced_by"], ["api_keys.id"], name=op.f("fk_api_keys_replaced_by")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
    )
    op.create_index(
        "ix_api_keys_page", "api_keys",
        ["member_id", sa.literal_column("created_at DESC"), sa.literal_column("id DESC")],
    )  # fmt: skip
    op.add_column(
        "environments",
        sa.Column("created_by", sa.Text(), server_default=sa.text("'default'"), nullable=False),
    )


def downgrade() -> None:
    op.drop_column("environments", "created_by")
    op.drop_table("api_keys")
    op.drop_table("members")
    op.drop_table("organizations")
