"""FreeRADIUS as it comes with Debian, in the foreground, with a configuration that holds what these tests need and nothing else."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import attrs

from interop.program import Program, running, spawn

SECRET = "testing 123"

_CONFIG = """\
prefix = /usr
exec_prefix = /usr
sysconfdir = {folder}
localstatedir = {folder}
logdir = {folder}
raddbdir = {folder}
radacctdir = {folder}
confdir = {folder}
modconfdir = {folder}
run_dir = {folder}
libdir = /usr/lib/freeradius
pidfile = {folder}/freeradius.pid
max_request_time = 30
cleanup_delay = 5
max_requests = 16384
hostname_lookups = no
log {{
    destination = stdout
    auth = no
}}
security {{
    allow_core_dumps = no
    max_attributes = 200
    reject_delay = 0
    status_server = no
}}
thread pool {{
    start_servers = 2
    max_servers = 4
    min_spare_servers = 1
    max_spare_servers = 4
    max_requests_per_server = 0
}}
client local {{
    ipaddr = {client}
    secret = "{secret}"
}}
modules {{
    pap {{
        normalise = no
    }}
    chap {{
    }}
    mschap {{
        {mschap}
    }}
    files {{
        usersfile = {folder}/users
        filename = {folder}/users
    }}
    detail {{
        filename = {folder}/detail
        permissions = 0600
        header = "%t"
    }}
    {pool}
}}
server default {{
    listen {{
        type = auth
        ipaddr = {address}
        port = {auth_port}
    }}
    listen {{
        type = acct
        ipaddr = {address}
        port = {acct_port}
    }}
    authorize {{
        chap
        mschap
        files
        pap
    }}
    authenticate {{
        Auth-Type PAP {{
            pap
        }}
        Auth-Type CHAP {{
            chap
        }}
        Auth-Type MS-CHAP {{
            mschap
        }}
    }}
    accounting {{
        {ippool}
        detail
    }}
    post-auth {{
        {ippool}
        update reply {{
            Message-Authenticator := 0x00
        }}
        Post-Auth-Type REJECT {{
            update reply {{
                Message-Authenticator := 0x00
            }}
        }}
    }}
}}
"""
_POOL = """\
    ippool main {{
        filename = {folder}/db.ippool
        ip_index = {folder}/db.ipindex
        range_start = {first}
        range_stop = {last}
        netmask = 255.255.255.255
        cache_size = 100
        override = no
        maximum_timeout = 0
    }}
"""


@attrs.define(eq=False)
class FreeRadius:
    """A server that can be started, killed and started again; its `detail` file stays."""

    folder: Path
    auth_port: int
    acct_port: int
    users: str
    address: str = "127.0.0.1"
    client: str = "127.0.0.1"
    prefix: tuple[str, ...] = ()  # words before the command: where it is to run
    mschap: str = ""  # further settings of that module, which sends the keys of MPPE by default
    pool: tuple[str, str] | None = (
        None  # the first and last address that it hands out to users who have `Pool-Name := "main"`
    )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Program]:
        """Run it; it takes requests when the block begins, and is killed at its end."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        config = _CONFIG.format(
            folder=self.folder,
            secret=SECRET,
            auth_port=self.auth_port,
            acct_port=self.acct_port,
            address=self.address,
            client=self.client,
            mschap=self.mschap,
            pool=_POOL.format(folder=self.folder, first=self.pool[0], last=self.pool[1]) if self.pool else "",
            ippool="main" if self.pool else "",
        )
        (self.folder / "radiusd.conf").write_text(config)
        (self.folder / "users").write_text(self.users)
        argv = [*self.prefix, "freeradius", "-fx", "-l", "stdout", "-d", str(self.folder), "-n", "radiusd"]
        program = Program("freeradius", await spawn(argv))
        async with running(program, signal.SIGTERM):
            await program.says("Ready to process requests")
            yield program

    def records(self) -> list[dict[str, str]]:
        """Return what accounting was told so far: of each record the attributes, by name, as text."""
        detail = self.folder / "detail"
        blocks = detail.read_text(errors="surrogateescape").split("\n\n") if detail.exists() else []
        return [_attributes(block) for block in blocks if " = " in block]


def _attributes(block: str) -> dict[str, str]:
    lines = (line.strip().partition(" = ") for line in block.splitlines() if " = " in line)
    return {name: value.strip('"') for name, _, value in lines}
