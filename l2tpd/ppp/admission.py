"""Both directions of the Authentication phase of one link (RFC 1661 3.5): who proves itself, how, and what a LAC knows of it already."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import attrs

from l2tpd.deadlines import earliest
from l2tpd.ppp.auth import AuthCarrier, Authenticator, Patience, Prover
from l2tpd.ppp.chap import ChapAuthenticator, ChapProver
from l2tpd.ppp.credentials import Credentials
from l2tpd.ppp.frame import parse_packet
from l2tpd.ppp.mppe import Keys
from l2tpd.ppp.numbers import Auth, ChapCode, PapCode, Protocol
from l2tpd.ppp.pap import PapAuthenticator, PapProver
from l2tpd.ppp.proxy import credentials as proxied_by
from l2tpd.ppp.settings import LinkSettings, Proxy, ProxyPolicy
from l2tpd.wire.values import pack_text

_TO_AUTHENTICATOR: Final = {(Protocol.PAP, PapCode.REQUEST), (Protocol.CHAP, ChapCode.RESPONSE)}
_TO_PROVER: Final = {
    (Protocol.PAP, PapCode.ACK),
    (Protocol.PAP, PapCode.NAK),
    (Protocol.CHAP, ChapCode.CHALLENGE),
    (Protocol.CHAP, ChapCode.SUCCESS),
    (Protocol.CHAP, ChapCode.FAILURE),
}


@attrs.define(eq=False)
class Admission:
    """The authenticator and the prover of one link, as far as LCP has agreed on them."""

    settings: LinkSettings
    random: Callable[[int], bytes]
    _authenticator: Authenticator | None = None
    _prover: Prover | None = None

    @property
    def complete(self) -> bool:
        """Tell whether each direction that was agreed on is done."""
        return all(machine is None or machine.proven for machine in (self._authenticator, self._prover))

    @property
    def keys(self) -> Keys | None:
        """What our own proof has brought us for encryption."""
        return self._prover.keys if isinstance(self._prover, ChapProver) else None

    @property
    def deadline(self) -> float | None:
        """When `handle_timer` has something to do."""
        if self._authenticator is None:
            return None if self._prover is None else self._prover.deadline
        return earliest(self._authenticator.deadline, None if self._prover is None else self._prover.deadline)

    def start(
        self, peer_proves: Auth | None, we_prove: Auth | None, proxy: Proxy | None, carrier: AuthCarrier, now: float
    ) -> None:
        """Begin in both directions; with a `proxy`, from what the LAC was told."""
        self._prover = self._make_prover(we_prove)
        self._authenticator = self._make_authenticator(peer_proves)
        if self._prover is not None:
            self._prover.start(carrier, now)
        if self._authenticator is not None:
            use = proxy if self.settings.proxy_policy is ProxyPolicy.USE else None
            proxied = proxied_by(self._authenticator.kind, use) if use else None
            if proxied is None:
                self._authenticator.start(carrier, now)
            else:
                self._authenticator.resume(proxied, carrier)

    def stop(self) -> None:
        """Forget everything: LCP is Opened no longer."""
        self._authenticator = self._prover = None

    def receive(self, protocol: int, information: bytes, carrier: AuthCarrier, now: float) -> None:
        """Give a packet to whom it concerns. Raises `Malformed`."""
        packet = parse_packet(information)
        key = protocol, packet.code
        machine = self._authenticator if key in _TO_AUTHENTICATOR else self._prover if key in _TO_PROVER else None
        if machine is None or machine.kind.protocol != protocol:
            carrier.discard()
        else:
            machine.receive(packet, carrier, now)

    def handle_timer(self, carrier: AuthCarrier, now: float) -> None:
        """Do what is due."""
        for machine in (self._authenticator, self._prover):
            if machine is not None and machine.deadline is not None and machine.deadline <= now:
                machine.handle_timer(carrier, now)

    def asked(self, credentials: Credentials) -> Authenticator | None:
        """Return who waits for a decision about these very credentials, None when nobody does any longer."""
        authenticator = self._authenticator
        return authenticator if authenticator is not None and authenticator.pending is credentials else None

    def reflected(self, challenge: bytes, name: bytes) -> bool:
        """Tell whether a Challenge is one of ours, or comes under our own name while we challenge as well."""
        authenticator = self._authenticator
        return authenticator is not None and (
            authenticator.challenged_with(challenge) or name == pack_text(self.settings.name)
        )

    @property
    def _patience(self) -> Patience:
        return Patience(self.settings.auth_attempts, self.settings.auth_retry)

    def _make_authenticator(self, kind: Auth | None) -> Authenticator | None:
        us = self.settings
        if kind is None or kind is Auth.PAP:
            return PapAuthenticator() if kind else None
        return ChapAuthenticator(kind, us.name, self._patience, us.rechallenge, self.random)

    def _make_prover(self, kind: Auth | None) -> Prover | None:
        us = self.settings
        if kind is None or kind is Auth.PAP:
            return PapProver(us.user, us.password, self._patience) if kind else None
        return ChapProver(kind, us.user, us.password, self._patience, self.random)
