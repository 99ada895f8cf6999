"""`python -m beta9_provisioning.api`: serve the API until SIGTERM, SIGINT or SIGHUP."""

import os
import sys

from beta9_provisioning.api import counting, supervisor
from beta9_provisioning.kit import certificates
from beta9_provisioning.kit.listening import cannot_listen, is_loopback, listen
from beta9_provisioning.kit.orphans import start_reaping
from beta9_provisioning.settings import Settings, run_or_explain


def main(settings: Settings) -> int:
    """Serve with the settings of the environment."""
    if (objection := _objection(settings)) is not None:
        print(f"error: {objection}", file=sys.stderr)  # noqa: T201
        return 2
    start_reaping()
    try:
        listeners = listen(settings.api_host, settings.api_port, settings.api_processes)
    except OSError as error:
        problem = cannot_listen("API", settings.api_host, settings.api_port, error)
        print(f"error: {problem}", file=sys.stderr)  # noqa: T201
        return 1
    if len(listeners) > 1:
        return supervisor.run(settings, listeners)
    counting.alone()
    # Not above: what watches over several processes needs nothing of it.
    from beta9_provisioning.api import server  # noqa: PLC0415

    return server.run(settings, listeners[0])


def _objection(settings: Settings) -> str | None:
    """Return why these settings must not be served; None when they may."""
    is_open = settings.auth_mode == "none"
    if is_open and not (settings.auth_none_anywhere or is_loopback(settings.api_host)):
        return (
            f"AUTH_MODE=none lets everybody who reaches {settings.api_host} do everything, so it is for "
            "loopback alone. Leave AUTH_MODE out and run `beta9-provisioning bootstrap` for a first key; or "
            "set API_HOST=127.0.0.1; or, where nobody else can reach this address, AUTH_NONE_ANYWHERE=true."
        )
    if settings.oidc_issuer and not settings.oidc_audience:
        return (
            "OIDC_ISSUER is set, and OIDC_AUDIENCE is not: tokens that the issuer made for any other service "
            "would let in. Set OIDC_AUDIENCE to what your issuer calls this one."
        )
    unusable = certificates.faults(os.environ) if settings.oidc_issuer else []
    return unusable[0] if unusable else None


if __name__ == "__main__":
    sys.exit(run_or_explain(main))
