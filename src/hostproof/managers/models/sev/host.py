"""What the hypervisor and its devices do to pages: nothing stops them."""

from __future__ import annotations

from hostproof.managers.engine import Caller, ModelBuilder, choose
from hostproof.managers.models.sev.state import Content, Phase, State, SystemPage

__all__ = ["host"]

_OPEN = "APM: 15.34; no check of ownership exists before SEV-SNP"


def host(m: ModelBuilder, x: State) -> None:
    """Adds the operations of the host."""
    sentence = "The host writes a page without the key: the guest decrypts garbage."
    with m.operation("write", Caller.HOST, sentence, _OPEN) as op:
        s = op.parameter("s", SystemPage)
        op.set(x.content[s], Content.GARBAGE)
        op.set(x.moved[s], False)
    with m.operation("device write", Caller.DMA, "A device writes a page without the key.", "LI19; " + _OPEN) as op:
        s = op.parameter("s", SystemPage)
        op.set(x.content[s], Content.GARBAGE)
        op.set(x.moved[s], False)
        op.set(x.dma_hit, True, when=x.content[s] == Content.DATA)
    with m.operation("save", Caller.HOST, "The host keeps the ciphertext of a page.", _OPEN) as op:
        s = op.parameter("s", SystemPage)
        op.set(x.saved[s], x.content[s])
        op.set(x.saved_origin[s], x.origin[s])
        op.set(x.saved_fresh[s], x.fresh[s])
        op.set(x.observed, True, when=x.content[s] == Content.DATA)
    sentence = "The host writes kept ciphertext back to its page: the old plaintext returns."
    with m.operation("restore", Caller.HOST, sentence, _OPEN) as op:
        s = op.parameter("s", SystemPage)
        op.set(x.content[s], x.saved[s])
        op.set(x.origin[s], x.saved_origin[s])
        op.set(x.fresh[s], x.saved_fresh[s])
        op.set(x.moved[s], False)
    sentence = "The host writes kept ciphertext to another page: garbage, unless the tweak can be predicted."
    with m.operation("move", Caller.HOST, sentence, "DU17: tweak of the system address") as op:
        s, t = op.parameter("s", SystemPage), op.parameter("t", SystemPage)
        op.guard("move.other", s != t, source="the same page is a restore", redundant="it would only make garbage")
        op.set(x.content[t], choose(x.tweak, x.saved[s], Content.GARBAGE))
        op.set(x.origin[t], x.saved_origin[s])
        op.set(x.fresh[t], x.saved_fresh[s])
        op.set(x.moved[t], True)
    with m.operation("do not run", Caller.HOST, "The host never enters the guest again.", "by design") as op:
        op.guard("stop.running", x.phase == Phase.RUNNING, source="a guest that runs", redundant="availability only")
        op.set(x.withheld, True)
