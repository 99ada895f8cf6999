"""The API as plain HTTP: pages, watches, patches, bad requests."""

from __future__ import annotations

import json
import ssl
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from tests.support.clusters import TOKEN, Kube, StaticDirectory
from tests.support.waiting import GUARD_SECONDS, until

from beta9_simulator.cluster.behaviour import HttpFault
from beta9_simulator.cluster.cluster import Cluster
from beta9_simulator.cluster.resources import BUILTIN
from beta9_simulator.cluster.server import serve
from beta9_simulator.cluster.store import HISTORY

MAPS = "/api/v1/namespaces/default/configmaps"


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": {"x": data.get("x", "none")}}, "data": data}


@contextmanager
def watching(kube: Kube, path: str) -> Iterator[Iterator[dict[str, Any]]]:
    """The events of a watch, as they come."""
    request = urllib.request.Request(kube.endpoint + path, headers={"Authorization": f"Bearer {TOKEN}"})
    context = ssl.create_default_context(cadata=kube.server.ca_pem)
    with urllib.request.urlopen(request, context=context, timeout=GUARD_SECONDS) as response:
        yield (json.loads(line) for line in response)


def test_a_thousand_objects_come_in_pages(kube: Kube) -> None:
    items = [config_map(f"m{number:04}", n=str(number)) for number in range(1000)]
    kube.inside(lambda cluster: [cluster.insert(BUILTIN["configmaps"], "default", item) for item in items])
    seen: list[str] = []
    token, pages = "", 0
    while pages == 0 or token:
        page = kube.http("GET", f"{MAPS}?limit=300&continue={token}").json
        seen += [item["metadata"]["name"] for item in page["items"]]
        assert page["metadata"].get("remainingItemCount", 0) == 1000 - len(seen)
        token, pages = page["metadata"].get("continue", ""), pages + 1
    assert (pages, seen) == (4, [f"m{number:04}" for number in range(1000)])
    assert len(kube.kubectl("get", "configmaps", "-o", "name", "--chunk-size=400").splitlines()) == 1000


def test_a_watch_tells_what_is_there_and_what_changes(kube: Kube) -> None:
    kube.http("POST", MAPS, config_map("old", x="1"))
    query = "?watch=true&sendInitialEvents=true&allowWatchBookmarks=true&labelSelector=x%3D1"
    with watching(kube, MAPS + query) as events:
        first, bookmark = next(events), next(events)
        assert (first["type"], first["object"]["metadata"]["name"]) == ("ADDED", "old")
        assert bookmark["type"] == "BOOKMARK"
        assert bookmark["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
        kube.http("POST", MAPS, config_map("other", x="2"))
        kube.http("POST", MAPS, config_map("new", x="1"))
        kube.http("PUT", f"{MAPS}/new", {**config_map("new", x="1"), "data": {"k": "v"}})
        kube.http("PUT", f"{MAPS}/new", config_map("new", x="2"))
        kube.http("PUT", f"{MAPS}/other", config_map("other", x="1"))
        kube.http("DELETE", f"{MAPS}/old")
        found = [next(events) for _ in range(5)]
    assert [(event["type"], event["object"]["metadata"]["name"]) for event in found] == [
        ("ADDED", "new"),
        ("MODIFIED", "new"),
        ("DELETED", "new"),  # it no longer matches
        ("ADDED", "other"),
        ("DELETED", "old"),
    ]


def test_a_watch_resumes_where_it_was_and_ends_in_time(kube: Kube) -> None:
    since = kube.http("GET", MAPS).json["metadata"]["resourceVersion"]
    for name in ("a", "b"):
        kube.http("POST", MAPS, config_map(name))
    with watching(kube, f"{MAPS}?watch=1&resourceVersion={since}&timeoutSeconds=1") as events:
        assert [event["object"]["metadata"]["name"] for event in events] == ["a", "b"]


def test_a_watch_from_too_long_ago_must_start_anew(kube: Kube) -> None:
    kube.http("POST", MAPS, config_map("a"))
    kube.inside(_fill_the_history)
    with watching(kube, f"{MAPS}?watch=1&resourceVersion=1") as events:
        event = next(events)
    assert (event["type"], event["object"]["code"], event["object"]["reason"]) == ("ERROR", 410, "Expired")


def _fill_the_history(cluster: Cluster) -> None:
    for turn in range(HISTORY + 1):
        current = cluster.require(BUILTIN["configmaps"], "default", "a")
        changed = {**current, "metadata": dict(current["metadata"]), "data": {"turn": str(turn)}}
        cluster.store.put(BUILTIN["configmaps"], changed)


@pytest.mark.parametrize(
    ("method", "path", "body", "content_type", "status"),
    [
        ("POST", MAPS, b"{not json", "application/json", 400),
        ("POST", MAPS, b"[" * 100_000, "application/json", 400),
        ("POST", MAPS, b"[]", "application/json", 400),
        ("POST", MAPS, b"", "application/json", 400),
        ("POST", MAPS, b"k8s\0\xff\xff", "application/vnd.kubernetes.protobuf", 400),
        ("POST", MAPS, b'{"kind": "Secret"}', "application/json", 400),
        ("POST", MAPS, b'{"metadata": {"name": "a", "namespace": "elsewhere"}}', "application/json", 400),
        (
            "POST",
            "/api/v1/namespaces/none/configmaps",
            b'{"metadata": {"name": "a"}}',
            "application/json",
            404,
        ),
        ("POST", "/api/v1/configmaps", b'{"metadata": {"name": "a"}}', "application/json", 404),
        ("POST", MAPS, b"x" * (4 << 20), "application/json", 413),
        ("PATCH", f"{MAPS}/there", b"a: [b", "application/apply-patch+yaml", 400),
        ("PATCH", f"{MAPS}/there", b"a: b", "application/apply-patch+yaml", 400),
        ("PATCH", f"{MAPS}/there?fieldManager=f", b"- a", "application/apply-patch+yaml", 400),
        (
            "PATCH",
            f"{MAPS}/there?fieldManager=f",
            b"metadata: {name: b}",
            "application/apply-patch+yaml",
            400,
        ),
        ("PATCH", f"{MAPS}/there", b"{}", "application/json", 415),
        ("PATCH", f"{MAPS}/there", b"{}", "application/json-patch+json", 400),
        ("PATCH", f"{MAPS}/there", b'"text"', "application/merge-patch+json", 400),
        ("PATCH", f"{MAPS}/there", b'{"metadata": {"labels": 5}}', "application/merge-patch+json", 400),
        ("PATCH", f"{MAPS}/absent", b"{}", "application/merge-patch+json", 404),
        ("PUT", f"{MAPS}/there", b'{"metadata": {"name": "different"}}', "application/json", 400),
        ("PUT", f"{MAPS}/there", b'{"metadata": {"resourceVersion": "1"}}', "application/json", 409),
        ("PUT", MAPS, b"{}", "application/json", 405),
        ("DELETE", f"{MAPS}/there?propagationPolicy=Sideways", None, "application/json", 400),
        ("DELETE", f"{MAPS}/there", b'{"preconditions": {"uid": "another"}}', "application/json", 409),
        ("DELETE", f"{MAPS}/there", b"[]", "application/json", 400),
        ("DELETE", "/api/v1/namespaces/default", None, "application/json", 403),
        ("GET", f"{MAPS}?limit=many", None, "application/json", 400),
        ("GET", f"{MAPS}?continue=nonsense", None, "application/json", 400),
        ("GET", f"{MAPS}?labelSelector=%25", None, "application/json", 400),
        ("GET", f"{MAPS}?watch=1&labelSelector=%25", None, "application/json", 400),
        ("GET", f"{MAPS}/there/status", None, "application/json", 404),
        ("GET", "/api/v1/namespaces/default/nodes", None, "application/json", 404),
        ("GET", "/apis/none.io", None, "application/json", 404),
        ("GET", "/apis/none.io/v1", None, "application/json", 404),
        ("GET", "/apis/apps/v1/namespaces/default/deployments/a/b/c", None, "application/json", 404),
        ("GET", "/openapi/v3/apis/none.io/v1", None, "application/json", 404),
        ("GET", "/elsewhere", None, "application/json", 404),
    ],
)
def test_bad_requests_get_a_status(
    kube: Kube, *, method: str, path: str, body: bytes | None, content_type: str, status: int
) -> None:
    assert kube.http("POST", MAPS, config_map("there")).status == 201
    answer = kube.http(method, path, body, Content_Type=content_type)
    assert (answer.status, answer.json["kind"], answer.json["code"]) == (status, "Status", status)
    assert answer.json["message"]
    assert kube.http("GET", f"{MAPS}/there").json["data"] == {}


@pytest.mark.parametrize(
    ("content_type", "patch", "data"),
    [
        ("application/merge-patch+json", {"data": {"b": "2", "a": None}}, {"b": "2"}),
        ("application/strategic-merge-patch+json", {"data": {"b": "2"}}, {"a": "1", "b": "2"}),
        (
            "application/json-patch+json",
            [{"op": "replace", "path": "/data", "value": {"c": "3"}}],
            {"c": "3"},
        ),
    ],
)
def test_patches(kube: Kube, content_type: str, patch: Any, data: dict[str, str]) -> None:
    kube.http("POST", MAPS, config_map("m", a="1"))
    answer = kube.http("PATCH", f"{MAPS}/m", patch, Content_Type=content_type)
    assert (answer.status, answer.json["data"]) == (200, data)


def test_a_status_is_written_by_itself(kube: Kube) -> None:
    path = "/api/v1/namespaces/default/services"
    kube.http(
        "POST", path, {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}, "status": {"a": 1}}
    )
    assert "status" not in kube.http("GET", f"{path}/s").json
    patch = {"status": {"loadBalancer": {}}, "spec": {"type": "NodePort"}}
    kube.http("PATCH", f"{path}/s/status", patch, Content_Type="application/merge-patch+json")
    body = kube.http("GET", f"{path}/s").json
    assert (body["status"], body["spec"]["type"]) == ({"loadBalancer": {}}, "ClusterIP")


def test_an_update_that_changes_nothing_keeps_the_version(kube: Kube) -> None:
    created = kube.http("POST", MAPS, config_map("m", a="1")).json
    updated = kube.http("PUT", f"{MAPS}/m", created).json
    assert updated["metadata"]["resourceVersion"] == created["metadata"]["resourceVersion"]


def test_collections_are_deleted_by_selector(kube: Kube) -> None:
    for name, x in (("a", "1"), ("b", "2"), ("c", "1")):
        kube.http("POST", MAPS, config_map(name, x=x))
    kube.http("DELETE", f"{MAPS}?labelSelector=x%3D1")
    assert list(kube.objects("ConfigMap")) == ["b"]


def test_metadata_only_and_yaml(kube: Kube) -> None:
    body = b"metadata:\n  name: m\ndata:\n  a: 'yes'\n"
    assert kube.http("POST", MAPS, body, Content_Type="application/yaml").status == 201
    accept = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
    listed = kube.http("GET", MAPS, Accept=accept).json
    assert listed["kind"] == "PartialObjectMetadataList"
    assert "data" not in listed["items"][0]


def test_discovery_in_both_forms_names_the_same_types(kube: Kube) -> None:
    accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"
    groups = [g for root in ("/api", "/apis") for g in kube.http("GET", root, Accept=accept).json["items"]]
    aggregated = {
        (group["metadata"].get("name", ""), version["version"], resource["resource"])
        for group in groups
        for version in group["versions"]
        for resource in version["resources"]
    }
    plain = {("", "v1", r["name"]) for r in kube.http("GET", "/api/v1").json["resources"]}
    for group in kube.http("GET", "/apis").json["groups"]:
        for version in group["versions"]:
            resources = kube.http("GET", f"/apis/{version['groupVersion']}").json["resources"]
            plain |= {(group["name"], version["version"], r["name"]) for r in resources}
    assert {entry for entry in plain if "/" not in entry[2]} == aggregated
    assert kube.http("GET", "/apis/apps").json["preferredVersion"]["version"] == "v1"


def test_clusters_that_are_unknown_or_not_active_cannot_be_reached(kube: Kube) -> None:
    kube.directory.put("main", active=False)
    assert kube.http("GET", "/version").status == 503
    kube.directory.drop("main")
    assert kube.http("GET", "/version").status == 404


@pytest.mark.parametrize("header", ["", "Bearer wrong", "Basic let-me-in", "Bearer"])
def test_who_has_no_valid_token_gets_401(kube: Kube, header: str) -> None:
    answer = kube.http("GET", "/version", Authorization=header)
    assert (answer.status, answer.json["reason"]) == (401, "Unauthorized")


def test_faults_are_spent(kube: Kube) -> None:
    kube.server.inject(HttpFault(status=429, path="/version", times=2, retry_after=7))
    first, second, third = (kube.http("GET", "/version") for _ in range(3))
    assert [first.status, second.status, third.status] == [429, 429, 200]
    assert first.headers["Retry-After"] == "7"
    kube.server.inject(HttpFault(status=500))
    kube.server.clear_faults()
    assert kube.http("GET", "/version").status == 200


def test_a_taken_port_is_named(kube: Kube) -> None:
    with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1:{kube.server.port}"):
        serve(StaticDirectory(), kube.server.port)


def test_a_server_can_be_stopped_twice_and_while_watched(kube: Kube) -> None:
    with watching(kube, f"{MAPS}?watch=1&allowWatchBookmarks=true&sendInitialEvents=true") as events:
        assert next(events)["type"] == "BOOKMARK"
        kube.server.stop()
        kube.server.stop()


def test_nodes_follow_the_directory_but_keep_what_clients_set(kube: Kube) -> None:
    patch = {"metadata": {"labels": {"mine": "1"}}, "spec": {"unschedulable": True}}
    kube.http("PATCH", "/api/v1/nodes/node-1", patch, Content_Type="application/merge-patch+json")
    kube.directory.put("main", version="1.35")
    until(
        lambda: (
            kube.objects("Node")["node-1"]["status"]["nodeInfo"]["kubeletVersion"] == "v1.35.0-eks-simulated"
        ),
        "the node has the new version",
    )
    node = kube.objects("Node")["node-1"]
    assert (node["metadata"]["labels"]["mine"], node["spec"]["unschedulable"]) == ("1", True)
    assert node["metadata"]["labels"]["node.kubernetes.io/instance-type"] == "m5.large"
    kube.directory.put("main", nodes=())
    assert kube.objects("Node") == {}
