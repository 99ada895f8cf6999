"""Which objects in an environment's bucket are Beta9's own, and no user's.

Images are archives `<id>.clip` and `<id>.rclip` (beta9, pkg/registry); JuiceFS keeps a mark and backups of
its metadata (https://juicefs.com/docs/community/metadata_dump_load) beside the chunks of users' files.
"""

import re

_OWN = re.compile(r"[^/]+\.r?clip|([^/]+/)?juicefs_uuid|[^/]+/meta/dump-[^/]+|[^/]+/testing/.*")


def is_own(key: str) -> bool:
    """Return whether an object with this key is Beta9's own."""
    return _OWN.fullmatch(key) is not None
