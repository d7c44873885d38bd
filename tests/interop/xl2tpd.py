"""xl2tpd 1.3.x as a peer.

What was found out about it, on Debian's 1.3.18:

* `-D` keeps it in the foreground and logs to stderr; `debug avp` makes it log `peer closing for reason N`, the result code it was told.
* It opens a tunnel on `c NAME` written into its control FIFO (`-C`), closes it on `d NAME`: StopCCN with result 1, "Goodbye!", and no CDN
  for the calls inside. A `[lac]` is one call in a tunnel of its own.
* SIGINT makes it say StopCCN result 1, "Server closing", and go without waiting for the acknowledgement. On SIGTERM it just goes.
* Secrets are `auth file` in `[global]`, lines of `us them secret`, used only with `challenge = yes` or when the peer challenges.
* A wrong Challenge Response it refuses with StopCCN result 2 error 6, "Invalid challenge authentication", not with the result 4 of RFC 2661 4.4.2;
  lacking a secret it gives up with the same codes, "No secret key on our end".
* For each call it runs /usr/sbin/pppd, a path that is compiled in; when that ends it sends CDN result 1. Here a program that sleeps is
  mounted over pppd, in a mount namespace of xl2tpd's own, so that calls stay up without PPP.
* ZLBs in answer to a session's message carry that session's id, where RFC 2661 5.8 leaves it open.
"""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from interop.netns import Host
from interop.program import Program, polled, running, spawn

PPPD = Path("/usr/sbin/pppd")

# Neither the pty that xl2tpd gives to pppd nor its end may matter: with kernel support there is none. The parent's death does.
STAND_IN = """\
#!/bin/sh
echo $$ >> "$INTEROP_PPPD_PIDS"
exec setpriv --pdeathsig KILL sleep infinity
"""

GLOBAL = """\
[global]
listen-addr = {address}
auth file = {folder}/secrets
debug avp = yes
debug state = yes
debug tunnel = yes
access control = no
"""

LNS = """\
[lns default]
ip range = 198.51.100.2-198.51.100.250
local ip = 198.51.100.1
require authentication = no
length bit = yes
hostname = xl2tpd.lns
challenge = {challenge}
hidden bit = {hidden}
"""

LAC = """\
[lac {name}]
lns = {lns}
length bit = yes
hostname = xl2tpd.lac
challenge = {challenge}
hidden bit = {hidden}
autodial = no
redial = no
"""


def lns_section(*, challenge: bool = False, hidden: bool = False) -> str:
    """Configure it as an LNS for whoever calls."""
    return LNS.format(challenge=_yes(challenge), hidden=_yes(hidden))


def lac_section(lns: str, *, name: str = "call", challenge: bool = False, hidden: bool = False) -> str:
    """Configure one call to an LNS, made when asked."""
    return LAC.format(name=name, lns=lns, challenge=_yes(challenge), hidden=_yes(hidden))


def _yes(value: bool) -> str:
    return "yes" if value else "no"


class Xl2tpd(Program):
    """A running xl2tpd."""

    def __init__(self, name: str, process: trio.Process, folder: Path) -> None:
        """Take over a process that keeps its files in `folder`."""
        super().__init__(name, process)
        self._folder = folder

    async def connect(self, name: str = "call") -> None:
        """Let it place the call of a `[lac]` section, opening a tunnel where there is none."""
        await self._command(f"c {name}")

    async def disconnect(self, name: str = "call") -> None:
        """Let it close the tunnel of a `[lac]` section."""
        await self._command(f"d {name}")

    async def _command(self, line: str) -> None:
        with trio.fail_after(5):  # opening a FIFO waits for its reader
            await trio.to_thread.run_sync((self._folder / "control").write_text, line + "\n", abandon_on_cancel=True)

    async def pppd_pids(self, count: int) -> list[int]:
        """Return the pids of the stand-ins for pppd that were started, as soon as there are `count` of them."""

        async def started() -> list[int] | None:
            pids = [int(word) for word in (await trio.Path(self._folder / "pppd.pids").read_text()).split()]
            return pids if len(pids) >= count else None

        return await polled(started, lambda: f"fewer than {count} pppd were started; xl2tpd wrote:\n{self.log}")


@asynccontextmanager
async def xl2tpd(host: Host, folder: Path, *sections: str, secret: str = "") -> AsyncIterator[Xl2tpd]:
    """Run an xl2tpd on a host, with its files in `folder`; ready when the block begins."""
    if not PPPD.exists():
        message = f"{PPPD} is missing: it comes with the package ppp, on which xl2tpd depends"
        raise FileNotFoundError(message)
    folder.mkdir()
    (folder / "xl2tpd.conf").write_text(GLOBAL.format(address=host.address, folder=folder) + "".join(sections))
    (folder / "secrets").write_text(f"* * {secret}\n" if secret else "")
    (folder / "secrets").chmod(0o600)
    (folder / "pppd").write_text(STAND_IN)
    (folder / "pppd").chmod(0o755)
    (folder / "pppd.pids").touch()
    options = (
        "-D",
        "-c",
        f"{folder}/xl2tpd.conf",
        "-s",
        f"{folder}/secrets",
        "-p",
        f"{folder}/pid",
        "-C",
        f"{folder}/control",
    )
    shell = f'mount --bind "{folder}/pppd" {PPPD} && exec "$@"'
    argv = host.command("unshare", "--mount", "--propagation", "private", "sh", "-c", shell, "sh", "xl2tpd", *options)
    program = Xl2tpd("xl2tpd", await spawn(argv, {"INTEROP_PPPD_PIDS": f"{folder}/pppd.pids"}), folder)
    async with running(program, signal.SIGTERM):
        await program.says(r"Listening on IP address .*, port 1701")
        yield program
