"""What a pod's specification must look like, whoever has it: a pod, a workload's template or a Job."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from beta9_simulator.cluster.errors import invalid
from beta9_simulator.cluster.resources import Resource
from beta9_simulator.cluster.syntax import (
    LABEL,
    check_selector,
    check_unique,
    is_port,
    is_port_or_name,
    quantity,
)

_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_HANDLERS = ("exec", "grpc", "httpGet", "tcpSocket")
_PROBE_NUMBERS = ("periodSeconds", "timeoutSeconds", "successThreshold", "failureThreshold")
_PULL_POLICIES = ("Always", "IfNotPresent", "Never")
_SPREADS = ("DoNotSchedule", "ScheduleAnyway")


class PodRules:
    """Checks one specification; ``field`` is where it stands in the object ``name``."""

    def __init__(self, resource: Resource, name: str, field: str) -> None:
        self._resource = resource
        self._name = name
        self._field = field

    def check(self, spec: Any) -> None:
        """Refuse what a real API server refuses, of what is looked at here.

        Raises:
            ApiError: 422, naming the field.
        """
        containers = spec.get("containers") if isinstance(spec, dict) else None
        self._require(isinstance(containers, list) and containers, "containers", "Required value")
        everyone = [
            (f"{kind}[{index}]", container)
            for kind in ("initContainers", "containers")
            for index, container in enumerate(spec.get(kind) or [])
        ]
        for where, container in everyone:
            self._container(where, container, is_init=where.startswith("init"))
        self._unique("containers.name", [container["name"] for _, container in everyone])
        self._volumes(spec, [container for _, container in everyone])
        self._spread(spec.get("topologySpreadConstraints") or [])

    def _container(self, where: str, container: dict[str, Any], *, is_init: bool) -> None:
        for required in ("name", "image"):
            self._require(container.get(required), f"{where}.{required}", "Required value")
        why = f"Invalid value: {container['name']!r}"
        self._require(LABEL.fullmatch(container["name"]), f"{where}.name", why)
        policy = container.get("imagePullPolicy", "Always")
        why = f"Unsupported value: {policy!r}"
        self._require(policy in _PULL_POLICIES, f"{where}.imagePullPolicy", why)
        ports = container.get("ports") or []
        for index, port in enumerate(ports):
            number = port.get("containerPort")
            self._require(
                is_port(number), f"{where}.ports[{index}].containerPort", f"Invalid value: {number!r}"
            )
        self._unique(f"{where}.ports.name", [port["name"] for port in ports if port.get("name")])
        self._unique(
            f"{where}.volumeMounts.mountPath", [m["mountPath"] for m in container.get("volumeMounts") or []]
        )
        for variable in container.get("env") or []:
            both = "value" in variable and "valueFrom" in variable and variable["value"]
            self._require(not both, f"{where}.env.valueFrom", "Invalid value: may not be set beside `value`")
        for probe in _PROBES:
            if probe in container:
                restarts = (container.get("restartPolicy") or "") == "Always"
                self._require(not is_init or restarts, f"{where}.{probe}", "Forbidden: in init containers")
                self._probe(f"{where}.{probe}", container[probe], ready=probe == "readinessProbe")
        self._resources(f"{where}.resources", container.get("resources") or {})

    def _probe(self, where: str, probe: dict[str, Any], *, ready: bool) -> None:
        handlers = [handler for handler in _HANDLERS if handler in probe]
        self._require(handlers, where, "Required value: must specify a handler type")
        self._require(len(handlers) == 1, where, "Forbidden: may not specify more than 1 handler type")
        for number in _PROBE_NUMBERS:
            value = probe.get(number, 1)
            self._require(
                isinstance(value, int) and value > 0, f"{where}.{number}", f"Invalid value: {value!r}"
            )
        single = ready or probe.get("successThreshold", 1) == 1
        self._require(single, f"{where}.successThreshold", "Invalid value: must be 1")
        if handlers[0] in ("httpGet", "tcpSocket"):
            port = probe[handlers[0]].get("port")
            self._require(is_port_or_name(port), f"{where}.{handlers[0]}.port", f"Invalid value: {port!r}")

    def _resources(self, where: str, resources: dict[str, Any]) -> None:
        amounts: dict[str, dict[str, Any]] = {
            kind: resources.get(kind) or {} for kind in ("requests", "limits")
        }
        for kind, given in amounts.items():
            for what, amount in given.items():
                number = quantity(amount)
                fits = number is not None and number >= 0
                self._require(fits, f"{where}.{kind}[{what}]", f"Invalid value: {amount!r}: no quantity")
        for what, amount in amounts["requests"].items():
            asked, most = quantity(amount), quantity(amounts["limits"].get(what, amount))
            fits = asked is not None and most is not None and asked <= most
            self._require(
                fits, f"{where}.requests[{what}]", f"Invalid value: {amount!r}: more than the limit"
            )

    def _volumes(self, spec: dict[str, Any], containers: list[dict[str, Any]]) -> None:
        volumes = spec.get("volumes") or []
        self._unique("volumes.name", [volume.get("name") for volume in volumes])
        names = {volume.get("name") for volume in volumes}
        # The controller of a StatefulSet adds the volumes of its claim templates to the pod.
        if self._resource.kind in ("StatefulSet", "Pod"):
            return
        for mount in [mount for container in containers for mount in container.get("volumeMounts") or []]:
            why = f"Not found: there is no volume {mount.get('name')!r}"
            self._require(mount.get("name") in names, "containers.volumeMounts", why)

    def _spread(self, constraints: list[dict[str, Any]]) -> None:
        for index, constraint in enumerate(constraints):
            where = f"topologySpreadConstraints[{index}]"
            self._require(constraint.get("topologyKey"), f"{where}.topologyKey", "Required value")
            when = constraint.get("whenUnsatisfiable")
            self._require(when in _SPREADS, f"{where}.whenUnsatisfiable", f"Unsupported value: {when!r}")
            skew = constraint.get("maxSkew")
            self._require(isinstance(skew, int) and skew > 0, f"{where}.maxSkew", f"Invalid value: {skew!r}")
            selector = constraint.get("labelSelector")
            check_selector(self._resource, self._name, f"{self._field}.{where}.labelSelector", selector)
        pairs = sorted((c["topologyKey"], c["whenUnsatisfiable"]) for c in constraints)
        for one, other in pairwise(pairs):
            self._require(one != other, "topologySpreadConstraints", f"Duplicate value: {one!r}")

    def _unique(self, where: str, values: list[Any]) -> None:
        check_unique(self._resource, self._name, f"{self._field}.{where}", values)

    def _require(self, holds: Any, where: str, why: str) -> None:
        if not holds:
            raise invalid(self._resource, self._name, f"{self._field}.{where}", why)
