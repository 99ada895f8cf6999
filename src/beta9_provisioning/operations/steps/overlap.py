"""Base charts while the databases are still being created: they need the cluster and nothing else.

The overlap saves time and decides nothing: a chart that fails here is tried again by the bootstrap,
which alone may fail the operation (ADR 2). It never outlives the attempt.
"""

from contextvars import copy_context
from types import TracebackType
from typing import Self

import structlog

from beta9_provisioning.engine.errors import EngineError, Stopped
from beta9_provisioning.engine.terraform.progress import Progress
from beta9_provisioning.kit import runtime
from beta9_provisioning.operations.run.context import Context
from beta9_provisioning.operations.steps.cluster import Cluster

log = structlog.get_logger(__name__)


class BaseCharts:
    """Installs the base charts on a thread of its own, once what they need is complete."""

    def __init__(self, context: Context) -> None:
        self._context = context
        assert context.choices is not None
        self._needed = context.cloud.cluster_ready_addresses(context.choices)
        self._stop = context.stop.branch()
        self._thread: runtime.Thread | None = None
        self._installed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def look(self, progress: Progress) -> None:
        """Start, if Terraform has come far enough."""
        if self._thread is None and self._needed <= progress.completed_addresses:
            thread = runtime.thread(copy_context().run, self._run, name="base-charts")
            thread.start()
            self._thread = thread

    def finish(self) -> bool:
        """Wait for the end and return whether all base charts are installed; False if it never started."""
        if self._thread is not None:
            self._thread.join()
        return self._installed

    def _run(self) -> None:
        emit = self._context.recorder.emit
        emit("overlap.started", "The cluster stands: started its base charts.")
        try:
            with Cluster(self._context, self._stop) as cluster:
                cluster.wait_for_nodes()
                cluster.install_base()
        except Stopped:
            emit("overlap.stopped", "The base charts were stopped.")
        except EngineError as error:
            emit(
                "overlap.failed",
                f"{error.message} It will be tried again.",
                code=error.code,
                detail=error.detail,
            )
        except Exception:
            log.exception("base_charts_crashed")
            emit("overlap.failed", "The base charts met a fault in the service. They will be tried again.")
        else:
            self._installed = True
