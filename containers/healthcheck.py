"""Ask a process of this container how it is: `healthcheck.py SETTING DEFAULT PATH`; 0 is healthy.

SETTING names the variable with the port, DEFAULT is the port without it, and 0 means that nothing listens.
"""

import os
import sys
import urllib.request

_SECONDS = 4.0


def main(setting: str, default: str, path: str) -> int:
    """Return the exit code."""
    port = os.environ.get(setting) or default
    if port == "0":
        return 0
    # A proxy of the environment would be asked for its own loopback.
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(f"http://127.0.0.1:{port}{path}", timeout=_SECONDS):
            return 0
    except OSError as error:
        sys.stderr.write(f"{path} on port {port} does not answer as it should: {error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
