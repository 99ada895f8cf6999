"""An error that an earlier release stored with megabytes of detail."""

import httpx
from sqlalchemy import update
from tests.operations.rows import make_environment, take

from beta9_provisioning.kit.database import Sessions, transaction
from beta9_provisioning.lifecycle import Reason
from beta9_provisioning.operations.records import store
from beta9_provisioning.operations.records.model import OperationRow


def test_a_detail_of_5_mb_is_not_in_the_answer(sessions: Sessions, client: httpx.Client) -> None:
    made = make_environment(sessions)
    failure = store.Failure(Reason.INTERNAL, "internal_error", "It broke.", "short", "Mend it.")
    with transaction(sessions) as session:
        store.fail(session, take(sessions, made.operation_id), failure)
        session.execute(
            update(OperationRow)
            .where(OperationRow.id == made.operation_id)
            .values(error=failure.document() | {"detail": "It said: " + "x" * 5_000_000})
        )
    answer = client.get(f"/api/v1/environments/{made.environment_id}")
    assert answer.status_code == 200
    assert answer.json()["error"]["detail"].startswith("It said: x")
    assert len(answer.content) < 20_000
