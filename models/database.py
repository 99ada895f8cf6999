"""`init_db` and `get_db` under the names that the deployment guide uses."""

from beta9_provisioning.kit.database import DatabaseUnavailable
from beta9_provisioning.kit.sentences import tell_without_traceback
from beta9_provisioning.operations.records.migrate import MigrationFailed, init_db
from beta9_provisioning.operations.records.sessions import get_db
from beta9_provisioning.settings import SettingsError

tell_without_traceback(DatabaseUnavailable, MigrationFailed, SettingsError)

__all__ = ["get_db", "init_db"]
