"""Ask the service in this container whether it can serve; exit 0 or 1. The image has neither curl nor wget."""

import os
import sys
import urllib.error
import urllib.request

TIMEOUT_S = 2


def main() -> int:
    """Ask /health/ready on the service's own port."""
    url = f"http://127.0.0.1:{os.environ['MODELPORT_PORT']}/health/ready"
    # A Docker client may put its proxy into every container's environment; this container is not behind it.
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(url, timeout=TIMEOUT_S) as reply:
            print(reply.read().decode())  # noqa: T201 (docker inspect shows it)
    except urllib.error.HTTPError as error:
        with error:
            print(error.read().decode())  # noqa: T201
        return 1
    except OSError as error:
        print(f"{url}: {error}")  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
