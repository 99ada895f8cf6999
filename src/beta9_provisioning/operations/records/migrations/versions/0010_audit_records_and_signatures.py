"""The audit log: records in chains by hash, and signatures of their heads; both are only ever added to.

Programs of every earlier revision go on working: they write no records.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_TABLES = ("audit_records", "audit_signatures")
_FILTERS = ("at", "actor", "action", "object_id", "decision", "request_id")
# Everything has its schema's name: a table of the same name in a session's search path counts for nothing.
# The lock is on the chain ("b9au"), held until the commit; what is read after it is what its holder left.
# Each value is preceded by its length, or is `-` when it is null, so that no two records have one form.
_CHAIN = """
CREATE FUNCTION audit_chain() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    last record;
BEGIN
    PERFORM pg_advisory_xact_lock(x'62396175'::int, hashtext(NEW.organization_id));
    SELECT number, at, hash INTO last FROM {schema}.audit_records
    WHERE organization_id = NEW.organization_id ORDER BY number DESC LIMIT 1;
    NEW.number := coalesce(last.number, 0) + 1;
    NEW.at := greatest(clock_timestamp(), last.at);
    NEW.hash := encode(sha256(convert_to((
        SELECT string_agg(coalesce(length(value) || ':' || value, '-') || ',', '' ORDER BY place)
        FROM unnest(ARRAY[
            'beta9-audit-1', last.hash, NEW.organization_id, NEW.number::text,
            (extract(epoch FROM NEW.at) * 1000000)::bigint::text,
            NEW.actor, NEW.actor_name, NEW.key_id, NEW.address, NEW.action, NEW.object_type, NEW.object_id,
            NEW.decision, NEW.reason, NEW.request_id, NEW.before, NEW.after
        ]) WITH ORDINALITY AS fields (value, place)
    ), 'UTF8')), 'hex');
    RETURN NEW;
END
$$
"""
_REFUSE = """
CREATE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is append-only: % of % is refused', TG_OP, TG_TABLE_NAME
    USING ERRCODE = 'insufficient_privilege',
        HINT = 'Each record is chained to the one before it: none may be changed or removed, by its owner neither.';
END
$$
"""


def upgrade() -> None:
    op.create_table(
        "audit_records",
        sa.Column("organization_id", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        *(
            sa.Column(name, sa.Text(), nullable=is_nullable)
            for name, is_nullable in (
                ("actor", False), ("actor_name", False), ("key_id", True), ("address", True), ("action", False),
                ("object_type", False), ("object_id", True), ("decision", False), ("reason", True),
                ("request_id", True), ("before", True), ("after", True), ("hash", False),
            )
        ),
        sa.PrimaryKeyConstraint("organization_id", "number", name="pk_audit_records"),
        sa.CheckConstraint("decision IN ('allowed', 'refused')", name="decision"),
        sa.CheckConstraint("(decision = 'refused') = (reason IS NOT NULL)", name="reason"),
    )  # fmt: skip
    for column in _FILTERS:
        op.create_index(f"ix_audit_records_{column}", "audit_records", ["organization_id", column, "number"])
    op.create_table(
        "audit_signatures",
        sa.Column("organization_id", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("signed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("signature", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("organization_id", "number", name="pk_audit_signatures"),
    )
    schema = op.get_bind().scalar(sa.text("SELECT quote_ident(current_schema())"))
    op.execute(_CHAIN.format(schema=schema))
    op.execute(_REFUSE)
    op.execute(
        "CREATE TRIGGER audit_chain BEFORE INSERT ON audit_records FOR EACH ROW EXECUTE FUNCTION audit_chain()"
    )
    for table in _TABLES:
        op.execute(
            f"CREATE TRIGGER audit_refuse BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse()"
        )


def downgrade() -> None:
    for table in reversed(_TABLES):
        op.drop_table(table)
    op.execute("DROP FUNCTION audit_chain()")
    op.execute("DROP FUNCTION audit_refuse()")
