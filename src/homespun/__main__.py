"""`python -m homespun`: the same as the command `homespun`."""

import sys

from homespun.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
