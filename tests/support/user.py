"""Somebody who uses a running service over HTTP."""

from typing import Any

import httpx
from tests.support.waiting import GUARD_SECONDS, until

# Operations take seconds, and each look is a request, which slows down what is awaited.
_LOOK_SECONDS = 0.2
FINAL = {"ready", "failed", "destroyed"}


class User:
    """Asks one API, which is a process of its own."""

    def __init__(self, url: str) -> None:
        self.http = httpx.Client(base_url=url, timeout=GUARD_SECONDS)

    def get(self, environment_id: str) -> dict[str, Any]:
        answer = self.http.get(f"/api/v1/environments/{environment_id}")
        assert answer.status_code == 200, answer.text
        document: dict[str, Any] = answer.json()
        return document

    def delete(self, environment_id: str) -> httpx.Response:
        return self.http.delete(f"/api/v1/environments/{environment_id}")

    def wait(self, environment_id: str, *statuses: str) -> dict[str, Any]:
        """Wait for one of the statuses; any other final one fails the test at once."""
        ends = FINAL | set(statuses)
        awaited = f"it is {' or '.join(statuses)}"
        until(lambda: self.get(environment_id)["status"] in ends, awaited, every=_LOOK_SECONDS)
        found = self.get(environment_id)
        assert found["status"] in statuses, found["error"]
        return found

    def wait_for_event(self, environment_id: str, type_: str) -> None:
        """Wait until the journal tells of this type."""

        def is_told() -> bool:
            return any(event["type"] == type_ for event in self.events(environment_id))

        until(is_told, f"the journal tells {type_}", every=_LOOK_SECONDS)

    def wait_until_it_builds(self, environment_id: str) -> None:
        """Wait until the network stands; the rest takes ten minutes and more at the pace of a real cloud."""

        def is_there() -> bool:
            return any(
                event["data"]["address"] == "aws_vpc.main" and event["data"]["phase"] == "complete"
                for event in self.events(environment_id)
                if event["type"] == "terraform.resource"
            )

        until(is_there, "the network stands", every=_LOOK_SECONDS)

    def events(self, environment_id: str) -> list[dict[str, Any]]:
        answer = self.http.get(f"/api/v1/environments/{environment_id}/events", params={"limit": 1000})
        items: list[dict[str, Any]] = answer.json()["items"]
        return items
