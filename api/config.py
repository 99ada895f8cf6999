"""`settings` under the name that the deployment guide uses."""

from beta9_provisioning.settings import get_settings

settings = get_settings()

__all__ = ["settings"]
