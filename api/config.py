"""`settings` under the name that the deployment guide uses."""

from beta9_provisioning.kit.sentences import tell_without_traceback
from beta9_provisioning.settings import SettingsError, get_settings

tell_without_traceback(SettingsError)
settings = get_settings()

__all__ = ["settings"]
