"""Arm CCA, launch of a realm: what the RIM covers, activation, the attestation token, the verifier that releases a secret.

The RIM is a hash chain over measured commands: it is the agreed one exactly if every measured command was the agreed one,
each address once, in the agreed order. The image is a set of addresses.
"""

from __future__ import annotations

from hostproof.managers.engine import Caller, Model, ModelBuilder, Sort, all_of, any_of, choose, exists, forall, implies
from hostproof.managers.models.cca.claims import assume

__all__ = ["launch"]

Ipa = Sort("Ipa", prefix="g")
Realm = Sort("Realm", ("NULL", "NEW", "ACTIVE"))
Who = Sort("Who", ("AGREED", "HOST"))
Page = Sort("Page", ("NOTHING", "AGREED", "HOST", "WIPED"))
Measure = Sort("Measure", ("MEASURE_CONTENT", "NO_MEASURE_CONTENT"))
Lifecycle = Sort("Lifecycle", ("SECURED", "DEBUG"))
_RESTS_ON = ("rmm-is-correct", "keys-are-secret", "hash-is-collision-free", "answer-is-bound")
_REALM, _RTT = "RMI_ERROR_REALM", "RMI_ERROR_RTT"


class _State:
    def __init__(self, m: ModelBuilder) -> None:
        self.realm = m.scalar("realm", Realm, "NULL", "the realm's state")
        self.parameters = m.scalar("parameters", Who, "AGREED", "features and sizes of RMI_REALM_CREATE")
        self.page = m.function("page", [Ipa], Page, "NOTHING", "what the address reads")
        self.measured = m.function("measured", [Ipa], meaning="RMI_DATA_CREATE extended the RIM with the address")
        self.image = m.function("image", [Ipa], initial=(False, True), meaning="the agreed image has the address")
        self.started = m.scalar("started", Who, "AGREED", "registers and entry point of the first vCPU")
        self.recs = m.scalar("recs", meaning="a runnable REC was made")
        self.deviates = m.scalar("deviates", meaning="a measured command was not the agreed one: the RIM differs")
        self.destroyed = m.function("destroyed", [Ipa], meaning="RIPAS of the address is DESTROYED: nothing reads it")
        self.changed = m.scalar("changed", meaning="the RIM changed after activation")
        self.extended = m.scalar("extended", Who, "AGREED", "what the realm's own measurements (REM) hold")
        self.reached = m.scalar("reached", meaning="a next stage of the host's ran before the secret came")
        self.lifecycle = m.scalar("lifecycle", Lifecycle, ("SECURED", "DEBUG"), "lifecycle state of the platform")
        self.released = m.scalar("released", meaning="the verifier released the secret to the realm")
        self.debugged = m.scalar("debugged", meaning="Realm world debug reads the secret")
        (g,) = Ipa.names("h")
        m.alive(self.destroyed, [g], self.page[g] != Page.NOTHING)
        self.rim = m.duty("rim_is_checked", "the verifier compares the RIM of the token", "RMMSPEC: A7.1.1, A7.2.3.1.4")
        self.rem = m.duty(
            "rem_is_checked", "the verifier compares the REMs of the token", "RMMSPEC: A7.1.2, A7.2.3.1.5"
        )
        self.secured = m.duty("lifecycle_is_checked", "the verifier wants a secured platform", "RMMSPEC: A7.2.3.2.6")
        self.flag = m.duty(
            "keeps_not_destroyed", "the realm never makes a destroyed address of its image RAM", "RMMSPEC: A5.2.5"
        )
        self.extends = m.duty(
            "measures_next_stage", "the realm extends a REM before it runs what the host gave", "RMMSPEC: A7.1.2"
        )


def launch() -> Model:
    """The launch of a realm and its attestation."""
    m = ModelBuilder("cca-launch", "RMM 1.0", "Arm CCA, launch and attestation of a realm")
    x = _State(m)
    _build(m, x)
    _pages(m, x)
    _run(m, x)
    _attest(m, x)
    _claims(m, x)
    return m.build()


def _build(m: ModelBuilder, x: _State) -> None:
    with m.operation("RMI_REALM_CREATE", Caller.HOST, "The parameters start the RIM.", "RMMSPEC: B4.3.9.4") as op:
        who = op.parameter("params", Who)
        op.guard("one realm", x.realm == Realm.NULL, source="the model follows one realm")
        op.set(x.parameters, who)
        op.set(x.deviates, True, when=who == Who.HOST)
        op.set(x.realm, Realm.NEW)
    sentence = "A runnable vCPU's registers and entry point extend the RIM."
    with m.operation("RMI_REC_CREATE", Caller.HOST, sentence, "RMMSPEC: B4.3.12.4") as op:
        who = op.parameter("params", Who)
        op.guard("realm_state", x.realm == Realm.NEW, _REALM, "RMMSPEC: B4.3.12.2")
        op.set(x.deviates, True, when=all_of(x.realm == Realm.NEW, any_of(who == Who.HOST, x.recs)))
        op.set(x.started, Who.HOST, when=who == Who.HOST)
        op.set(x.recs, True)
    (g,) = Ipa.names("g")
    sentence = "The RIM is final: it is the agreed one if every agreed command was there."
    with m.operation("RMI_REALM_ACTIVATE", Caller.HOST, sentence, "RMMSPEC: B4.3.8, A7.1.1") as op:
        op.guard(
            "realm_state", x.realm == Realm.NEW, _REALM, "RMMSPEC: B4.3.8.2", redundant="a RIM that is final stays"
        )
        missing = exists([g], all_of(x.image[g], ~x.measured[g]))
        op.set(x.deviates, True, when=any_of(missing, ~x.recs))
        op.set(x.realm, Realm.ACTIVE)


def _pages(m: ModelBuilder, x: _State) -> None:
    with m.operation(
        "RMI_DATA_CREATE", Caller.HOST, "Address, flags and content extend the RIM.", "RMMSPEC: B4.3.1.4"
    ) as op:
        g, who, measure = op.parameter("ipa", Ipa), op.parameter("src", Who), op.parameter("flags", Measure)
        op.guard("realm_state", x.realm == Realm.NEW, _REALM, "RMMSPEC: B4.3.1.2")
        twice = "what is there is refused by the RIM"
        op.guard("rtte_state", x.page[g] == Page.NOTHING, _RTT, "RMMSPEC: B4.3.1.2", redundant=twice)
        content = all_of(who == Who.AGREED, measure == Measure.MEASURE_CONTENT)
        agreed = all_of(x.image[g], ~x.measured[g], content)
        op.set(x.deviates, True, when=all_of(x.realm == Realm.NEW, ~agreed))
        op.set(x.measured[g], True)
        op.set(x.page[g], choose(who == Who.AGREED, Page.AGREED, Page.HOST))
        op.set(x.destroyed[g], False)
    with m.operation(
        "RMI_DATA_DESTROY", Caller.HOST, "Taking a page away does not change the RIM.", "RMMSPEC: B4.3.3, A5.2.4"
    ) as op:
        g = op.parameter("ipa", Ipa)
        op.guard("rtte_state", x.page[g] != Page.NOTHING, _RTT, "RMMSPEC: B4.3.3.2", redundant="nothing to take")
        op.set(x.page[g], Page.NOTHING)
    sentence = "A wiped page comes to a destroyed address; nothing reads it until the realm asks for RAM."
    with m.operation("RMI_DATA_CREATE_UNKNOWN", Caller.HOST, sentence, "RMMSPEC: B4.3.2, A5.2.5") as op:
        g = op.parameter("ipa", Ipa)
        over = "the memory model has what this guard protects: a page in use"
        op.guard("rtte_state", x.page[g] == Page.NOTHING, _RTT, "RMMSPEC: B4.3.2.2", redundant=over)
        op.set(x.page[g], Page.WIPED)
        op.set(x.destroyed[g], x.measured[g])
    sentence = "An address becomes RAM, which extends the RIM."
    with m.operation("RMI_RTT_INIT_RIPAS", Caller.HOST, sentence, "RMMSPEC: B4.3.18.4") as op:
        g = op.parameter("base", Ipa)
        op.guard("realm_state", x.realm == Realm.NEW, _REALM, "RMMSPEC: B4.3.18.2")
        op.set(x.deviates, True, when=all_of(x.realm == Realm.NEW, x.image[g]))
        op.set(x.destroyed[g], False)


def _run(m: ModelBuilder, x: _State) -> None:
    sentence = "The realm asks that the whole of its memory be RAM, its image included."
    with m.operation("RSI_IPA_STATE_SET", Caller.GUEST, sentence, "RMMSPEC: A5.2.5, B5.3.6") as op:
        g = op.parameter("base", Ipa)
        op.guard("running", x.realm == Realm.ACTIVE, source="the realm runs", redundant="nobody else asks")
        op.guard("flag.kept", implies(x.flag, ~x.destroyed[g]), source="duty, and RMI_RTT_SET_RIPAS keeps it: B3.75")
        op.set(x.destroyed[g], False)
    sentence = "The realm measures the next stage that the host gave it."
    with m.operation("RSI_MEASUREMENT_EXTEND", Caller.GUEST, sentence, "RMMSPEC: B5.3.7") as op:
        who = op.parameter("value", Who)
        op.guard("running", x.realm == Realm.ACTIVE, source="the realm runs", redundant="nobody else extends")
        op.set(x.extended, Who.HOST, when=who == Who.HOST)
    with m.operation("run next stage", Caller.GUEST, "The realm runs the host's next stage.", "duty") as op:
        op.guard("running", x.realm == Realm.ACTIVE, source="the realm runs", redundant="nobody else runs it")
        op.guard("measures_next_stage", implies(x.extends, x.extended == Who.HOST), source="duty")
        op.set(x.reached, True, when=~x.released)


def _attest(m: ModelBuilder, x: _State) -> None:
    sentence = "The verifier checks a fresh token with RIM, REMs and lifecycle, and releases the secret."
    source = "RMMSPEC: B5.3.2, B5.3.1, A7.2"
    with m.operation("RSI_ATTESTATION_TOKEN", Caller.GUEST, sentence, source) as op:
        op.guard("state", x.realm == Realm.ACTIVE, "RSI_ERROR_STATE", source)
        op.guard("rim", implies(x.rim, ~x.deviates), source="duty of the verifier")
        op.guard("rem", implies(x.rem, x.extended == Who.AGREED), source="duty of the verifier")
        op.guard("lifecycle", implies(x.secured, x.lifecycle == Lifecycle.SECURED), source="duty of the verifier")
        op.set(x.released, True)
    sentence = "Somebody debugs the Realm world of a platform whose lifecycle allows it."
    with m.operation("Realm world debug", Caller.HOST, sentence, "RMMSPEC: A7.2.3.2.6") as op:
        op.guard("lifecycle", x.lifecycle == Lifecycle.DEBUG, source="RMMSPEC: A7.2.3.2.6")
        op.set(x.debugged, True, when=x.released)


def _claims(m: ModelBuilder, x: _State) -> None:
    assume(m, *_RESTS_ON)
    (g,) = Ipa.names("g")
    known = all_of(x.released, x.realm == Realm.ACTIVE)
    readable = all_of(~x.destroyed[g], x.page[g].is_in(Page.HOST, Page.WIPED))
    other = any_of(exists([g], all_of(x.image[g], readable)), x.started == Who.HOST, x.parameters == Who.HOST)
    sentence = "a realm with the secret is the agreed one: image, registers, features"
    m.objective(
        "L1", all_of(known, other), sentence, _RESTS_ON, ["launch-other-image", "choose-launch-image", "lie-cpuid"]
    )
    late = all_of(known, x.reached)
    m.objective(
        "L1.rem", late, "nothing else ran in the realm before the secret came", _RESTS_ON, ["launch-other-image"]
    )
    m.objective("G1", x.debugged, "no debugger of the Realm world reads the secret", _RESTS_ON, ["debug-decrypt"])

    def every(id: str, condition: object, conclusion: object, sentence: str) -> None:
        m.invariant(id, forall([g], implies(condition, conclusion)), sentence)  # type: ignore[arg-type]

    agreed = ~x.deviates
    m.invariant("parameters", implies(agreed, x.parameters == Who.AGREED), "the parameters start the RIM")
    m.invariant("registers", implies(agreed, x.started == Who.AGREED), "runnable RECs are measured")
    m.invariant("refused", implies(x.released, agreed), "the verifier compares the RIM, and it is final")
    m.invariant("young", implies(x.released, x.realm == Realm.ACTIVE), "only an active realm has a token")
    every("content", agreed, x.page[g] != Page.HOST, "content is measured")
    whole = all_of(agreed, x.realm == Realm.ACTIVE, x.image[g])
    every("whole", whole, x.measured[g], "every page of the agreed image is measured")
    lost = all_of(agreed, x.measured[g], x.page[g] == Page.WIPED)
    every("destroyed", lost, x.destroyed[g], "what the image lost stays DESTROYED")
    every("measured is image", all_of(agreed, x.measured[g]), x.image[g], "nothing else was measured")
    secured = implies(x.released, x.lifecycle == Lifecycle.SECURED)
    m.invariant("secured", secured, "the verifier looks at the lifecycle, which only a reset changes")
    m.invariant("not debugged", ~x.debugged, "a secured platform has no debugger")
    m.invariant("next stage", implies(x.reached, x.extended == Who.HOST), "a measurement goes before what it measures")
    m.invariant("unmeasured", implies(x.released, ~x.reached), "the verifier compares the REMs")
    m.witness(
        "the agreed realm gets the secret", all_of(known, exists([g], all_of(x.image[g], x.page[g] == Page.AGREED)))
    )
