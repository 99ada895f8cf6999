"""`init_db` and `get_db` under the names that the deployment guide uses."""

from beta9_provisioning.operations.database import get_db
from beta9_provisioning.operations.migrate import init_db

__all__ = ["get_db", "init_db"]
