"""``python -m prefect_autopilot`` is the command ``prefect-autopilot``."""

import sys

from prefect_autopilot.cli import main

if __name__ == "__main__":
    sys.exit(main())
