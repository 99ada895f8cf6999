"""What botocore knows of AWS's services: megabytes of JSON, which all sessions of a process share."""

from __future__ import annotations

import threading
from typing import Any

from botocore.loaders import Loader

SERVICES = (
    "sts",
    "s3",
    "eks",
    "secretsmanager",
    "resourcegroupstaggingapi",
    "ec2",
    "rds",
    "elasticache",
    "iam",
    "elb",
    "elbv2",
    "logs",
    "kms",
    "ssm",
)
"""The services that the engine asks."""


class _SharedLoader(Loader):
    """Reads each description once, for the sessions of all threads.

    botocore's own completes a description in place, after it has put it into its cache.
    """

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()

    def load_service_model(self, *args: Any, **kwargs: Any) -> Any:
        with self._lock:
            return super().load_service_model(*args, **kwargs)


LOADER = _SharedLoader()
"""To be registered as the component `data_loader` of a session. It holds no credentials."""


def preload() -> None:
    """Read now what the first sessions of this process would read otherwise: 0.15 s of one processor."""
    for name in ("endpoints", "partitions", "sdk-default-configuration", "_retry"):
        LOADER.load_data_with_path(name)
    for service in SERVICES:
        for part in ("service-2", "endpoint-rule-set-1"):
            LOADER.load_service_model(service, part, api_version=None)
