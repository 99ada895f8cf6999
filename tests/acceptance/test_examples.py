"""The examples, as their first lines say that they are posted.

That of a network of one's own wants the network first: `tests/examples`.
"""

from pathlib import Path

import pytest
from scripts.examples import EXAMPLES, stands_alone
from tests.acceptance.test_product import Product

ALONE = [path for name, path in EXAMPLES.items() if stands_alone(name)]


@pytest.mark.parametrize("path", ALONE, ids=lambda path: path.stem)
def test_an_example_becomes_ready_and_leaves_nothing(path: Path, product: Product) -> None:
    answer = product.http.post(
        "/api/v1/environments", content=path.read_bytes(), headers={"Content-Type": "application/yaml"}
    )
    assert answer.status_code == 202, answer.text
    environment_id = answer.json()["environment_id"]
    ready = product.wait(environment_id, "ready")
    assert ready["error"] is None
    if ready["deletion_protection"]:
        assert product.delete(environment_id).status_code == 409
        lifted = product.http.patch(
            f"/api/v1/environments/{environment_id}", json={"deletion_protection": False}
        )
        assert lifted.status_code == 200, lifted.text
    assert product.delete(environment_id).status_code == 202
    product.wait(environment_id, "destroyed")
    assert product.world.leftovers() == []
