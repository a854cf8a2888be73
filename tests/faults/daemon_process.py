"""The real daemon on a pool that is a file: `python -m tests.faults.daemon_process SITE.json QUEUE`."""

import logging
import os
import sys
from pathlib import Path

import msgspec

from inbox_watcher.daemon import serve
from inbox_watcher.settings.site_file import Site
from tests.faults.queue_on_disk import QueueOnDisk


def main() -> None:
    """Serve until SIGTERM, then end as `loans watch` does."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    site = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Site)
    serve(site, lambda: QueueOnDisk(Path(sys.argv[2])))
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
