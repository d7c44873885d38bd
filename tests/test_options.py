from __future__ import annotations

from pathlib import Path

import attrs
import pytest

from l2tpd.options import Options


def test_options_are_a_value_with_quiet_defaults() -> None:
    """Only the configuration and what to do when ready must be given; nothing can be changed afterwards."""
    options = Options(config_path=Path("/etc/l2tpd/l2tpd.toml"), ready=lambda: None)
    said = options.foreground, options.stop_at_eof, options.log_file, options.debug_level
    assert (False, False, None, 0) == said
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        options.foreground = True  # type: ignore[misc]
