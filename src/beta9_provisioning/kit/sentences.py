"""Errors that are the reader's to mend end a program with their sentence alone, not with a traceback."""

import sys
from types import TracebackType


def tell_without_traceback(*kinds: type[Exception]) -> None:
    """From now on print an uncaught error of these kinds as `error: …` alone; all others as before.

    For programs that are typed on a command line (`python -c …`), where nothing else could catch them.
    """
    before = sys.excepthook

    def tell(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if isinstance(error, kinds):
            print(f"error: {error}", file=sys.stderr)  # noqa: T201
        else:
            before(kind, error, trace)

    sys.excepthook = tell
