"""PPPoX sockets; what they do on a kernel that has them is proven in the virtual machine."""

from __future__ import annotations

import errno

import pytest

from l2tpd.errors import PlaneError
from l2tpd.kernel import pppox


@pytest.mark.parametrize("version", [2, 3])
def test_a_session_that_is_not_there(version: int) -> None:
    """On any machine a session that nobody made cannot be opened, and the error says which call was refused."""
    with pytest.raises(PlaneError, match=r"no socket for PPP over L2TP: |cannot connect to session 1/2: ") as refused:
        pppox.open_session(1, 2, 3, 4, version)
    assert refused.value.errno in {
        errno.EAFNOSUPPORT,
        errno.EPROTONOSUPPORT,
        errno.EPERM,
        errno.ENODEV,
        errno.ENOENT,
        errno.EBADF,
    }
