"""Helm of the simulated world: killed midway it leaves a release pending, asked to stop a failed one."""

import json
from collections.abc import Callable

from simulation.catalog import LOAD_BALANCER
from simulation.children import Child
from simulation.cloud import READY, Refused
from simulation.world import Installed

_WITH_LOAD_BALANCER = "traefik"


class HelmRun(Child):
    """One command."""

    @property
    def writes(self) -> bool:  # type: ignore[override]
        """Whether it changes releases."""
        return self.argv[1] in ("upgrade", "uninstall", "rollback")

    def start(self) -> None:
        """Ask the cluster, then do what the command is for."""
        do: Callable[[], None] = {
            "upgrade": self._upgrade,
            "uninstall": self._uninstall,
            "rollback": self._roll_back,
            "list": self._list,
            "history": self._history,
        }[self.argv[1]]
        self.later(0.3, lambda: self._in_cluster(do))

    def interrupted(self) -> None:
        """Note that the release failed, and end."""
        self.later(0.4, self._give_up)

    @property
    def _key(self) -> tuple[str, str]:
        given = next(one for one in self.argv if one.startswith("--namespace="))
        return given.removeprefix("--namespace="), self.argv[2]

    @property
    def _releases(self) -> dict[tuple[str, str], Installed]:
        return self.world.cluster(self.environment).releases

    def _fail(self, words: str) -> None:
        self.output = f"Error: {words}\n"
        self.end(1)

    def _in_cluster(self, do: Callable[[], None]) -> None:
        cluster = self.world.cloud.find(self.environment, "aws_eks_cluster.main")
        if cluster is None or cluster.status != READY:
            self._fail("Kubernetes cluster unreachable: dial tcp: no such host")
        else:
            do()

    def _give_up(self) -> None:
        if self.argv[1] in ("upgrade", "rollback"):
            found = self._releases.get(self._key)
            if found is not None and found.status.startswith("pending"):
                found.history[-1] = "failed"
        self._fail("release was interrupted: context canceled")

    def _upgrade(self) -> None:
        found = self._releases.get(self._key)
        if found is not None and found.status.startswith("pending"):
            self._fail("another operation (install/upgrade/rollback) is in progress")
            return
        if found is None:
            found = self._releases[self._key] = Installed(self.argv[2], ["pending-install"])
        else:
            found.history.append("pending-upgrade")
        self.later(4.0 * self.world.cloud.pace, self._installed)

    def _installed(self) -> None:
        found = self._releases.get(self._key)
        if found is None:
            self._fail("release: not found")
            return
        if self.argv[2] == _WITH_LOAD_BALANCER and not self._has_load_balancer():
            try:
                self.world.cloud.create(self.environment, LOAD_BALANCER.address, self.tag)
            except Refused as error:
                found.history[-1] = "failed"
                self._fail(str(error))
                return
        found.history[:] = ["superseded" if one == "deployed" else one for one in found.history]
        found.history[-1] = "deployed"
        self.end(0)

    def _has_load_balancer(self) -> bool:
        return self.world.cloud.find(self.environment, LOAD_BALANCER.address) is not None

    def _uninstall(self) -> None:
        found = self._releases.get(self._key)
        if found is None:
            self._fail("uninstall: Release not loaded: release: not found")
            return
        found.history.append("uninstalling")
        self.later(1.5 * self.world.cloud.pace, self._uninstalled)

    def _uninstalled(self) -> None:
        self._releases.pop(self._key, None)
        self.end(0)

    def _roll_back(self) -> None:
        found = self._releases.get(self._key)
        if found is None:
            self._fail("release: not found")
            return
        found.history.append("pending-rollback")
        self.later(2.0, self._installed)

    def _list(self) -> None:
        self.output = json.dumps(
            [
                {
                    "name": name,
                    "namespace": namespace,
                    "chart": one.chart,
                    "revision": str(len(one.history)),
                    "status": one.status,
                }
                for (namespace, name), one in sorted(self._releases.items())
            ]
        )
        self.end(0)

    def _history(self) -> None:
        found = self._releases.get(self._key)
        if found is None:
            self._fail("release: not found")
            return
        self.output = json.dumps(
            [{"revision": number, "status": status} for number, status in enumerate(found.history, 1)]
        )
        self.end(0)
