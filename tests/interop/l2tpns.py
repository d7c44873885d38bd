"""l2tpns 2.4.1 as an LNS, and as a LAC.

What was found out about it:

* It serves nobody before it has made itself the master of its cluster; with the shortest heartbeat timeout it accepts (1.5 s) that takes about a
  second. It needs /dev/net/tun and multicast on the cluster's interface.
* `l2tp_secret` is used only when the LAC challenges; it never challenges a LAC itself.
* Its LCP Configure-Requests are data packets right after ICCN, before anything acknowledged it; unanswered they go on for 30 s and more.
* It sends no packet that is larger than our MRU, and does not cut one into fragments either: it is lost.
* As a LAC (`setforward`) it leaves the Challenge Response out of its SCCCN (RFC 2661 5.1.1): an LNS that has a secret with it must not challenge it.
* SIGQUIT makes it close everything, StopCCN with result 6 for each tunnel and no CDN, and wait for the acknowledgements; SIGTERM just ends it.
  It ends with kill(0, SIGTERM): never let it share a process group with anything.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from interop.netns import Host
from interop.program import Program, running, spawn

CONFIG = """\
set debug 4
set bind_address {address}
set hostname "l2tpns.lns"
set cluster_interface lo
set cluster_hb_interval 1
set cluster_hb_timeout 15
set primary_radius 127.0.0.1
set radius_secret "unused"
set radius_authtypes "chap"
set peer_address {address}
"""


@asynccontextmanager
async def l2tpns(host: Host, folder: Path, *, secret: str = "", more: str = "") -> AsyncIterator[Program]:
    """Run an l2tpns on a host, with its files in `folder` and `more` in its configuration; ready when the block begins."""
    if not Path("/dev/net/tun").exists():
        message = "/dev/net/tun is missing: l2tpns does not start without it"
        raise FileNotFoundError(message)
    folder.mkdir()
    config = CONFIG.format(address=host.address) + (f'set l2tp_secret "{secret}"\n' if secret else "") + more
    (folder / "startup-config").write_text(config)
    program = Program("l2tpns", await spawn(host.command("l2tpns", "-c", f"{folder}/startup-config")))
    async with running(program, None):
        await program.says("I am declaring myself the master")
        yield program
