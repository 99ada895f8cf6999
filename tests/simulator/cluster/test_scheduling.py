from __future__ import annotations

from typing import Any

import pytest

from beta9_simulator.cluster.scheduling import feasible_nodes, unschedulable_message


def machine(name: str, ready: bool = True, **spec: Any) -> dict[str, Any]:
    condition = {"type": "Ready", "status": "True" if ready else "False"}
    labels = {"kubernetes.io/hostname": name, "pool": "gpu" if "gpu" in name else "cpu"}
    return {"metadata": {"name": name, "labels": labels}, "spec": spec, "status": {"conditions": [condition]}}


TAINT = {"key": "gpu", "value": "yes", "effect": "NoSchedule"}
NODES = [
    machine("cpu"),
    machine("gpu", taints=[TAINT]),
    machine("soft", taints=[{**TAINT, "effect": "PreferNoSchedule"}]),
    machine("cordoned", unschedulable=True),
    machine("down", ready=False),
]


@pytest.mark.parametrize(
    ("spec", "names"),
    [
        ({}, ["cpu", "soft"]),
        ({"nodeSelector": {"pool": "gpu"}}, []),
        ({"nodeSelector": {"pool": "gpu"}, "tolerations": [{"operator": "Exists"}]}, ["gpu"]),
        ({"nodeSelector": {"pool": "gpu"}, "tolerations": [{"key": "gpu", "operator": "Exists"}]}, ["gpu"]),
        ({"nodeSelector": {"pool": "gpu"}, "tolerations": [{"key": "gpu", "value": "yes"}]}, ["gpu"]),
        ({"nodeSelector": {"pool": "gpu"}, "tolerations": [{"key": "gpu", "value": "no"}]}, []),
        ({"nodeSelector": {"pool": "gpu"}, "tolerations": [{**TAINT, "effect": "NoExecute"}]}, []),
        ({"nodeSelector": {"pool": "gpu"}, "tolerations": [TAINT]}, ["gpu"]),
    ],
)
def test_where_a_pod_can_run(spec: dict[str, Any], names: list[str]) -> None:
    assert feasible_nodes(spec, NODES) == names


def test_daemons_run_on_cordoned_and_unready_nodes() -> None:
    assert feasible_nodes({}, NODES, daemon=True) == ["cpu", "soft", "cordoned", "down"]


def test_the_message_counts_the_reasons() -> None:
    message = unschedulable_message({"nodeSelector": {"pool": "none"}}, NODES)
    assert message.startswith("0/5 nodes are available: 3 node(s) didn't match")
    assert unschedulable_message({}, []) == "0/0 nodes are available: no nodes available."
