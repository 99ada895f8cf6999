"""`init_db` and `get_db` under the names that the deployment guide uses."""

from beta9_provisioning.operations.records.migrate import init_db
from beta9_provisioning.operations.records.sessions import get_db

__all__ = ["get_db", "init_db"]
