"""Ends of operations, times to ready, ends of attempts, and statuses that were left are counted, too (ADR 10).

Programs of every earlier revision go on working, and what they change is counted as well. Writers wait while
the history is counted for the first time: less than a second for 100,000 environments.
"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

# As before, and what the environment was until then.
_STATUSES = """
CREATE OR REPLACE FUNCTION count_entered() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM count_statistic('entered', NEW.data->>'to', 0, 0);
    IF NEW.data->>'from' IS NOT NULL THEN
        PERFORM count_statistic('left', NEW.data->>'from', 0, 0);
    END IF;
    RETURN NULL;
END
$$
"""
_STATUSES_OF_0005 = """
CREATE OR REPLACE FUNCTION count_entered() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM count_statistic('entered', NEW.data->>'to', 0, 0);
    RETURN NULL;
END
$$
"""
_ENDED = """
CREATE FUNCTION count_ended() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    seconds double precision := extract(epoch FROM NEW.finished_at - NEW.created_at);
BEGIN
    PERFORM count_statistic('ended', concat_ws('/', NEW.kind, NEW.status, NEW.reason), 0, 0);
    IF NEW.kind = 'provision' AND NEW.status = 'succeeded' THEN
        PERFORM count_statistic('ready', '', duration_bound(seconds), seconds);
    END IF;
    RETURN NULL;
END
$$
"""
_ATTEMPT = """
CREATE FUNCTION count_attempt() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM count_statistic('attempt', NEW.outcome, 0, 0);
    RETURN NULL;
END
$$
"""
_TRIGGERS = (
    """
CREATE TRIGGER count_ended AFTER UPDATE ON operations FOR EACH ROW
WHEN (OLD.finished_at IS NULL AND NEW.finished_at IS NOT NULL) EXECUTE FUNCTION count_ended()
""",
    """
CREATE TRIGGER count_attempt AFTER UPDATE ON attempts FOR EACH ROW
WHEN (OLD.ended_at IS NULL AND NEW.ended_at IS NOT NULL AND NEW.outcome IS NOT NULL)
EXECUTE FUNCTION count_attempt()
""",
)
_HISTORY = (
    # What entered a status and is not in it has left it; events need not be there any more.
    """
INSERT INTO statistics (figure, label, bound, shard, count, total)
SELECT 'left', label, 0, 0, entered - coalesce(present, 0), 0
FROM (SELECT label, sum(count)::bigint AS entered FROM statistics WHERE figure = 'entered' GROUP BY label) AS ever
LEFT JOIN (SELECT status, count(*) AS present FROM environments GROUP BY status) AS now ON status = label
""",
    """
INSERT INTO statistics (figure, label, bound, shard, count, total)
SELECT 'ended', concat_ws('/', kind, status, reason), 0, 0, count(*), 0 FROM operations
WHERE finished_at IS NOT NULL GROUP BY 2
""",
    """
INSERT INTO statistics (figure, label, bound, shard, count, total)
SELECT 'ready', '', duration_bound(seconds), 0, count(*), sum(seconds)
FROM (
    SELECT extract(epoch FROM finished_at - created_at)::double precision AS seconds FROM operations
    WHERE kind = 'provision' AND status = 'succeeded'
) AS ready GROUP BY 3
""",
    """
INSERT INTO statistics (figure, label, bound, shard, count, total)
SELECT 'attempt', outcome, 0, 0, count(*), 0 FROM attempts
WHERE ended_at IS NOT NULL AND outcome IS NOT NULL GROUP BY 2
""",
)


def upgrade() -> None:
    # A writer that takes them the other way round ends one of both as a deadlock; `init_db` tries again.
    op.execute("LOCK TABLE operations, attempts, events IN SHARE ROW EXCLUSIVE MODE")
    for statement in (*_HISTORY, _STATUSES, _ENDED, _ATTEMPT, *_TRIGGERS):
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TRIGGER count_attempt ON attempts")
    op.execute("DROP TRIGGER count_ended ON operations")
    op.execute("DROP FUNCTION count_attempt()")
    op.execute("DROP FUNCTION count_ended()")
    op.execute(_STATUSES_OF_0005)
    op.execute("DELETE FROM statistics WHERE figure IN ('left', 'ended', 'ready', 'attempt')")
