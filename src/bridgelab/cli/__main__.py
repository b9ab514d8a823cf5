"""`python -m bridgelab.cli`."""

import sys

from bridgelab.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
