"""ASIDs: whose key answers to one, and what caches still hold under it when it changes hands."""

from __future__ import annotations

from hostproof.managers.engine import Caller, ModelBuilder
from hostproof.managers.models.sev.state import Asid, State, SystemPage

__all__ = ["asid"]


def asid(m: ModelBuilder, x: State) -> None:
    """Adds activation, deactivation and the flushes between them."""
    (t,) = SystemPage.names("t")
    sentence = "Firmware takes the key from the ASID; processors that ran it are to be flushed."
    with m.operation("DEACTIVATE", Caller.HOST, sentence, "ASPFW: sev_mcmd_deactivate; sev_guest_deactivate") as op:
        op.guard(
            "DEACTIVATE.active",
            x.asid != Asid.NONE,
            "INACTIVE",
            "ASPFW: guest_is_inactive",
            redundant="nothing to take",
        )
        op.set(x.asid, Asid.NONE)
        op.set(x.dirty, True)
        op.set(x.flushed, False)
    with m.operation("WBINVD", Caller.HOST, "Every cache writes back and forgets.", "ASPFW: is_wbinvd_done") as op:
        op.set(x.flushed, True)
        op.set(x.cached[t], False, each=[t])
    with m.operation(
        "DF_FLUSH", Caller.HOST, "Firmware flushes the fabric and calls ASIDs clean.", "ASPFW: mcmd_df_flush_common"
    ) as op:
        op.guard("DF_FLUSH.wbinvd", x.flushed, "WBINVD_REQUIRED", "ASPFW: mcmd_df_flush_common, is_wbinvd_done")
        op.set(x.dirty, False)
    for name, owner in (("ACTIVATE", Asid.GUEST), ("ACTIVATE other", Asid.OTHER)):
        whose = "the guest's" if name == "ACTIVATE" else "another guest's"
        with m.operation(name, Caller.HOST, f"Firmware gives the ASID {whose} key.", "ASPFW: activate_common") as op:
            own = "the guest's own lines come back to it" if name == "ACTIVATE" else ""
            op.guard("ACTIVATE.free", x.asid == Asid.NONE, "ASID_OWNED", "ASPFW: mcmd_activate_common", redundant=own)
            op.guard(
                "ACTIVATE.clean", ~x.dirty, "DF_FLUSH_REQUIRED", "ASPFW: activate_common, asid_dirty", redundant=own
            )
            op.set(x.asid, owner)
    sentence = "A guest of the host's own reads a line that the cache holds under its ASID."
    never = "the flushes come first: that is what M1.asid proves"
    with m.operation("read cached line", Caller.HOST, sentence, "APM: 15.34, caches are tagged", never) as op:
        s = op.parameter("s", SystemPage)
        op.guard("cache.asid", x.asid == Asid.OTHER, "ciphertext", "APM: 15.34")
        op.guard("cache.line", x.cached[s], "ciphertext", "APM: 15.34; a miss reads memory under another key")
        op.set(x.leak, "ASID")
