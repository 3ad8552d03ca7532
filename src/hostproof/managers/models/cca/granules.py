"""Granules: delegation, the host's and devices' accesses under the granule protection table, other realms."""

from __future__ import annotations

from hostproof.managers.engine import Caller, ModelBuilder, Name, OperationBuilder, any_of
from hostproof.managers.models.cca.state import Content, Gpt, Granule, GranuleState, State

__all__ = ["INPUT", "granules"]

INPUT = "RMI_ERROR_INPUT"
_GPF = "Granule Protection Fault"


def granules(m: ModelBuilder, x: State) -> None:
    """Adds the operations."""
    _delegation(m, x)
    _accesses(m, x)
    _devices(m, x)
    _other_realms(m, x)


def _delegation(m: ModelBuilder, x: State) -> None:
    sentence = "The host gives a granule to the Realm physical address space."
    with m.operation("RMI_GRANULE_DELEGATE", Caller.HOST, sentence, "RMMSPEC: B4.3.5") as op:
        s = op.parameter("addr", Granule)
        owned = "a granule in any other state is not GPT_NS"
        free = x.state[s] == GranuleState.UNDELEGATED
        op.guard("gran_state", free, INPUT, "RMMSPEC: B4.3.5.2", redundant=owned)
        foreign = "protects the Secure and Root worlds, not the realm: the granule is wiped before the realm gets it"
        op.guard("gran_gpt", x.gpt[s] == Gpt.NS, INPUT, "RMMSPEC: B4.3.5.2", redundant=foreign)
        op.set(x.state[s], GranuleState.DELEGATED)
        op.set(x.gpt[s], Gpt.REALM)
    sentence = "The host takes a granule back; it is wiped."
    with m.operation("RMI_GRANULE_UNDELEGATE", Caller.HOST, sentence, "RMMSPEC: B4.3.6") as op:
        s = op.parameter("addr", Granule)
        op.guard("gran_state", x.state[s] == GranuleState.DELEGATED, INPUT, "RMMSPEC: B4.3.6.2")
        op.set(x.state[s], GranuleState.UNDELEGATED)
        op.set(x.gpt[s], Gpt.NS)
        op.set(x.content[s], Content.WIPED, when=x.wipe_undelegate | False)
    sentence = "Another agent takes an undelegated granule for the Secure world, or gives it back."
    for name, before, after in (("to Secure", Gpt.NS, Gpt.OTHER), ("to Non-secure", Gpt.OTHER, Gpt.NS)):
        with m.operation(f"GPT {name}", Caller.HOST, sentence, "RMMSPEC: A2.2.3.1") as op:
            s = op.parameter("s", Granule)
            op.guard(
                "gpt.undelegated",
                x.state[s] == GranuleState.UNDELEGATED,
                source="RMMSPEC: A2.2.3.1",
                redundant="as gpt",
            )
            op.guard(
                "gpt.from",
                x.gpt[s] == before,
                source="RMMSPEC: A2.2.3.1",
                redundant="an undelegated granule is not REALM",
            )
            op.set(x.gpt[s], after)


def _taken(op: OperationBuilder, x: State, s: Name) -> None:
    """Somebody else reads what the granule holds."""
    op.set(x.disclosed, True, when=x.content[s] == Content.REALM)
    op.set(x.registers_disclosed, True, when=x.content[s] == Content.REGISTERS)


def _accesses(m: ModelBuilder, x: State) -> None:
    with m.operation("host load", Caller.HOST, "The host reads a granule.", "RMMSPEC: A2.2.3.1; RMM") as op:
        s = op.parameter("s", Granule)
        op.guard("gpc", x.gpt[s] == Gpt.NS, _GPF, "RMMSPEC: A2.2.3.1")
        _taken(op, x, s)
        op.set(x.observed, True, when=x.gpt[s] == Gpt.REALM)
    with m.operation("host store", Caller.HOST, "The host writes a granule.", "RMMSPEC: A2.2.3.1; RMM") as op:
        s = op.parameter("s", Granule)
        op.guard("gpc", x.gpt[s] == Gpt.NS, _GPF, "RMMSPEC: A2.2.3.1")
        op.set(x.content[s], Content.HOST)


def _devices(m: ModelBuilder, x: State) -> None:
    for name in ("device read", "device write"):
        with m.operation(name, Caller.DMA, "A device of the host reaches a granule.", "RMM") as op:
            s = op.parameter("s", Granule)
            op.guard("gpc", any_of(x.gpt[s] == Gpt.NS, ~x.smmu), _GPF, "RMM: granule protection holds for devices")
            op.set(x.dma_hit, True, when=any_of(x.content[s] == Content.REALM, x.content[s] == Content.REGISTERS))
            if name == "device read":
                _taken(op, x, s)
            else:
                op.set(x.content[s], Content.HOST)


def _other_realms(m: ModelBuilder, x: State) -> None:
    data, delegated = GranuleState.DATA, GranuleState.DELEGATED
    sentence = "The host gives a delegated granule to a realm of its own."
    with m.operation("RMI_DATA_CREATE_UNKNOWN (another realm)", Caller.HOST, sentence, "RMMSPEC: B4.3.2") as op:
        s = op.parameter("data", Granule)
        op.guard("data_state", x.state[s] == delegated, INPUT, "RMMSPEC: B4.3.2.2")
        op.set(x.state[s], data)
        op.set(x.other[s], True)
        op.set(x.content[s], Content.WIPED, when=x.wipe_create | False)
    sentence = "The RMM copies a granule of the host into a realm of the host's own."
    with m.operation("RMI_DATA_CREATE (another realm)", Caller.HOST, sentence, "RMMSPEC: B4.3.1") as op:
        s, t = op.parameter("data", Granule), op.parameter("src", Granule)
        op.guard("data_state", x.state[s] == delegated, INPUT, "RMMSPEC: B4.3.1.2")
        op.guard("src_pas", x.gpt[t] == Gpt.NS, INPUT, "RMMSPEC: B4.3.1.2")
        op.set(x.state[s], data)
        op.set(x.other[s], True)
        op.set(x.content[s], x.content[t])
        op.set(x.origin[s], x.origin[t])
        op.set(x.fresh[s], x.fresh[t])
    with m.operation(
        "another realm", Caller.HOST, "A realm of the host's reads and writes its own page.", "RMMSPEC: A5.3.1"
    ) as op:
        s = op.parameter("s", Granule)
        op.guard("rtt.own", x.other[s], "REC exit", "RMMSPEC: A2.2.2, the owner of a DATA granule")
        _taken(op, x, s)
        op.set(x.content[s], Content.HOST)
    with m.operation(
        "RMI_DATA_DESTROY (another realm)", Caller.HOST, "The host takes it back.", "RMMSPEC: B4.3.3"
    ) as op:
        s = op.parameter("data", Granule)
        op.guard("rtte_state", x.other[s], "RMI_ERROR_RTT", "RMMSPEC: B4.3.3.2")
        op.set(x.state[s], delegated)
        op.set(x.other[s], False)
