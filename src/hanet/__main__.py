"""The command ``hanet``, also as ``python -m hanet``: torchrun and a run of several processes start
it so."""

from __future__ import annotations

import sys


def main() -> None:
    """Loads the command line and runs it; Ctrl-C while it loads ends it without a traceback."""
    try:
        from hanet.cli import main as run
    except KeyboardInterrupt:
        sys.exit(130)  # as hanet.cli says it, which is not there yet
    except RuntimeError as error:  # see there
        if not isinstance(error.__cause__, KeyboardInterrupt):
            raise
        sys.exit(130)
    run()


if __name__ == "__main__":
    main()
