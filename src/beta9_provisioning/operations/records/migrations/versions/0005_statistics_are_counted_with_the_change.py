"""Statistics are counted with the change, by triggers (ADR 10).

Programs of every earlier revision go on working, and what they change is counted as well. Writers wait while
the history is counted for the first time: about a second for 100,000 environments.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

# The smallest bound that a duration does not exceed; 0 stands for none.
_BOUND = """
CREATE FUNCTION duration_bound(seconds double precision) RETURNS integer LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(min(bound), 0)
    FROM unnest(ARRAY[5, 15, 30, 60, 120, 300, 600, 900, 1200, 1800, 2700, 3600, 5400, 7200, 10800, 14400])
        AS bound
    WHERE bound >= seconds
$$
"""
_COUNT = """
CREATE FUNCTION count_statistic(figure text, label text, bound integer, seconds double precision)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    -- A row that somebody else counts in is left alone, however long that takes.
    UPDATE statistics AS known SET count = known.count + 1, total = known.total + $4
    WHERE known.ctid = (
        SELECT free.ctid FROM statistics AS free
        WHERE free.figure = $1 AND free.label = $2 AND free.bound = $3
        LIMIT 1 FOR UPDATE SKIP LOCKED
    );
    IF NOT FOUND THEN
        INSERT INTO statistics VALUES ($1, $2, $3, nextval('statistics_shards'), 1, $4);
    END IF;
END
$$
"""
_ENTERED = """
CREATE FUNCTION count_entered() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM count_statistic('entered', NEW.data->>'to', 0, 0);
    RETURN NULL;
END
$$
"""
_FINISHED = """
CREATE FUNCTION count_finished() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    seconds double precision := extract(epoch FROM NEW.finished_at - NEW.started_at);
BEGIN
    PERFORM count_statistic('duration', NEW.kind || '/' || NEW.status, duration_bound(seconds), seconds);
    RETURN NULL;
END
$$
"""
_TRIGGERS = (
    """
CREATE TRIGGER count_entered AFTER INSERT ON events FOR EACH ROW
WHEN (NEW.type = 'environment.status' AND NEW.data->>'to' IS NOT NULL) EXECUTE FUNCTION count_entered()
""",
    """
CREATE TRIGGER count_finished AFTER UPDATE ON operations FOR EACH ROW
WHEN (OLD.finished_at IS NULL AND NEW.finished_at IS NOT NULL AND NEW.started_at IS NOT NULL)
EXECUTE FUNCTION count_finished()
""",
)
_HISTORY = (
    """
INSERT INTO statistics (figure, label, bound, shard, count, total)
SELECT 'entered', data->>'to', 0, 0, count(*), 0 FROM events
WHERE type = 'environment.status' AND data->>'to' IS NOT NULL GROUP BY 2
""",
    """
INSERT INTO statistics (figure, label, bound, shard, count, total)
SELECT 'duration', kind || '/' || status, duration_bound(seconds), 0, count(*), sum(seconds)
FROM (
    SELECT kind, status, extract(epoch FROM finished_at - started_at)::double precision AS seconds
    FROM operations
    WHERE started_at IS NOT NULL AND finished_at IS NOT NULL
) AS finished GROUP BY 2, 3
""",
)


def upgrade() -> None:
    op.execute("CREATE SEQUENCE statistics_shards")
    op.create_table(
        "statistics",
        sa.Column("figure", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("bound", sa.Integer(), nullable=False),
        sa.Column("shard", sa.BigInteger(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("total", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("figure", "label", "bound", "shard", name="pk_statistics"),
    )
    # A writer that takes them the other way round ends one of both as a deadlock; `init_db` tries again.
    op.execute("LOCK TABLE operations, events IN SHARE ROW EXCLUSIVE MODE")
    for statement in (_BOUND, *_HISTORY, _COUNT, _ENTERED, _FINISHED, *_TRIGGERS):
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TRIGGER count_finished ON operations")
    op.execute("DROP TRIGGER count_entered ON events")
    for function in (
        "count_finished()",
        "count_entered()",
        "count_statistic(text, text, integer, double precision)",
        "duration_bound(double precision)",
    ):
        op.execute(f"DROP FUNCTION {function}")
    op.drop_table("statistics")
    op.execute("DROP SEQUENCE statistics_shards")
