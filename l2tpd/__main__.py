"""Run the daemon as `python -m l2tpd`."""

from __future__ import annotations

import sys

from l2tpd.app import main

if __name__ == "__main__":
    sys.exit(main())
