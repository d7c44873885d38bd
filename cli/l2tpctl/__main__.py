"""`python -m l2tpctl`."""

from __future__ import annotations

from l2tpctl.commands import main

if __name__ == "__main__":
    main()
