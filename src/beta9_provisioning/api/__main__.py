"""`python -m beta9_provisioning.api`: serve the API until SIGTERM, SIGINT or SIGHUP."""

import sys

from beta9_provisioning.api import counting, supervisor
from beta9_provisioning.kit.listening import cannot_listen, listen
from beta9_provisioning.kit.orphans import start_reaping
from beta9_provisioning.settings import Settings, run_or_explain


def main(settings: Settings) -> int:
    """Serve with the settings of the environment."""
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


if __name__ == "__main__":
    sys.exit(run_or_explain(main))
