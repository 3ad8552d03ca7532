"""SEV-SNP guest requests: messages between the guest and firmware, through the host. Any number of messages.

A request is encrypted and authenticated under a VM platform communication key (VMPCK), its sequence number is the IV, and
firmware takes the number after the last one only. The host carries both ways: it may drop, delay, repeat, reorder, change. What
it must not get: an answer taken for the answer to another request (reports and derived keys mixed up), and two contents under
one IV (which gives the key stream away).

Sources: ASPFW (`amd/AMD-ASPFW` at 3ca6650dd35d, `sev_mcmd.c`, snp_mcmd_guest_request: IV, AEAD, count + 1), SEVCORE
(Linux 7.3 `arch/x86/coco/sev/core.c`: snp_send_guest_request, verify_and_dec_payload, snp_inc_msg_seqno, snp_disable_vmpck).
"""

from __future__ import annotations

from hostproof.managers.engine import BOOL, Caller, Model, ModelBuilder, Sort, all_of, exists, forall, implies

__all__ = ["Message", "model"]

Message = Sort("Message", prefix="q")
"""A sequence number of a VMPCK: the request that carries it, and the answer with the number after it."""


class _State:
    """Variables and duties."""

    def __init__(self, m: ModelBuilder) -> None:
        self.sent = m.function("sent", [Message], meaning="the guest made a request with this number")
        self.waiting = m.function("waiting", [Message], meaning="the guest waits for the answer to it")
        self.consumed = m.function("consumed", [Message], meaning="firmware's counter is past it")
        self.answered = m.function("answered", [Message], meaning="the host holds firmware's answer to it")
        self.mixed = m.scalar("mixed", meaning="the guest took an answer that is not firmware's to its request")
        self.twice = m.scalar(
            "twice", meaning="firmware carried out a request twice, or one that the guest did not make"
        )
        self.reused = m.scalar("reused", meaning="two contents went out under one IV")
        self.disabled = m.scalar("disabled", meaning="the guest gave the VMPCK up")
        self.number = m.duty(
            "check_answer_seqno",
            "the guest takes the answer with the number after its request's",
            "SEVCORE: verify_and_dec_payload",
        )
        self.tag = m.duty(
            "check_answer_tag",
            "the guest takes what authenticates under the VMPCK",
            "SEVCORE: verify_and_dec_payload, aesgcm_decrypt",
        )
        self.same = m.duty(
            "retry_same_request",
            "after a failure the guest sends the same bytes or gives the VMPCK up",
            "SEVCORE: snp_disable_vmpck",
        )


def model() -> Model:
    """Guest requests over one VMPCK."""
    m = ModelBuilder(
        "sev-snp-guest-requests", "firmware 1.55", "Requests of a SEV-SNP guest to firmware, carried by the host"
    )
    x = _State(m)
    _guest(m, x)
    _firmware(m, x)
    _claims(m, x)
    return m.build()


def _guest(m: ModelBuilder, x: _State) -> None:
    (p,) = Message.names("p")
    with m.operation(
        "request", Caller.GUEST, "The guest encrypts a request under the next number.", "SEVCORE: enc_payload"
    ) as op:
        q = op.parameter("q", Message)
        op.guard("request.key", ~x.disabled, source="it has a VMPCK", redundant="another VMPCK starts again")
        op.guard("request.next", ~x.sent[q], source="SEVCORE: snp_inc_msg_seqno, numbers only grow")
        op.guard(
            "request.idle",
            ~exists([p], x.waiting[p]),
            source="SEVCORE: snp_cmd_mutex",
            redundant="numbers keep answers apart as well",
        )
        op.set(x.reused, True, when=x.sent[q])
        op.set(x.sent[q], True)
        op.set(x.waiting[q], True)
    with m.operation(
        "retry",
        Caller.GUEST,
        "The host reports a failure and the guest tries again.",
        "SEVCORE: snp_send_guest_request",
    ) as op:
        q, same = op.parameter("q", Message), op.parameter("same", BOOL)
        op.guard("retry.waiting", x.waiting[q], source="it waits", redundant="the same bytes tell nothing new")
        op.guard("retry.same", implies(x.same, same), "the VMPCK is disabled", "duty")
        op.set(x.reused, True, when=~same)
    with m.operation("give up", Caller.GUEST, "The guest erases the VMPCK.", "SEVCORE: snp_disable_vmpck") as op:
        op.set(x.disabled, True)
        op.set(x.waiting[p], False, each=[p])
    sentence = "The guest takes an answer that the host hands it."
    with m.operation("take answer", Caller.GUEST, sentence, "SEVCORE: verify_and_dec_payload") as op:
        q, r, genuine = op.parameter("request", Message), op.parameter("answer", Message), op.parameter("genuine", BOOL)
        op.guard(
            "answer.waiting", x.waiting[q], source="it waits for one", redundant="nobody reads an answer otherwise"
        )
        op.guard("answer.tag", implies(x.tag, genuine), "-EBADMSG", "duty")
        op.guard(
            "answer.made", implies(genuine, x.answered[r]), "-EBADMSG", "ASPFW: answers are made by firmware alone"
        )
        op.guard("answer.number", implies(x.number, r == q), "-EBADMSG", "duty")
        op.set(x.waiting[q], False)
        op.set(x.mixed, True, when=~all_of(genuine, r == q, x.answered[r]))


def _firmware(m: ModelBuilder, x: _State) -> None:
    source = "ASPFW: snp_mcmd_guest_request"
    with m.operation(
        "SNP_GUEST_REQUEST", Caller.HOST, "Firmware takes a request from the host and answers it.", source
    ) as op:
        q, genuine = op.parameter("q", Message), op.parameter("genuine", BOOL)
        op.guard("REQUEST.tag", all_of(genuine, x.sent[q]), "BAD_MEASUREMENT", f"{source}, AEAD under the VMPCK")
        op.guard("REQUEST.seqno", ~x.consumed[q], "AEAD_OFLOW", f"{source}, MSG_SEQNO is the count plus one")
        op.set(x.twice, True, when=~all_of(genuine, x.sent[q], ~x.consumed[q]))
        op.set(x.consumed[q], True)
        op.set(x.answered[q], True)


def _claims(m: ModelBuilder, x: _State) -> None:
    (p, q) = Message.names("p", "q")
    m.assumption("keys-are-secret", "Nobody but guest and firmware has the VMPCK.", ["one-glitch", "milanlaunchy"])
    m.assumption(
        "firmware-is-correct", "Firmware does what its commands say.", ["cpuid-response-leak", "snp-input-validation"]
    )
    m.assumption("reports-are-fresh", "A report says by its data for whom it was made.", ["report-relay"])
    rests = ("keys-are-secret", "firmware-is-correct")
    m.objective(
        "S1.answer",
        all_of(x.mixed),
        "the guest takes firmware's answer to its own request",
        (*rests, "reports-are-fresh"),
    )
    m.objective("S1.request", all_of(x.twice), "firmware carries a request of the guest out once", rests)
    m.objective("M1.iv", all_of(x.reused), "no IV is used for two contents", rests)
    stuck = all_of(x.disabled)
    m.objective("A1", stuck, "requests are answered", (), ["withhold-resources"])
    m.invariant("not mixed", ~x.mixed, "number and tag belong to the request")
    m.invariant("not twice", ~x.twice, "the count grows with each request")
    m.invariant("not reused", ~x.reused, "a number is given out once")
    one = forall([p, q], implies(all_of(x.waiting[p], x.waiting[q]), p == q))
    m.invariant("one waits", one, "one request at a time")
    m.witness("a request is answered", exists([q], all_of(x.answered[q], ~x.waiting[q], ~x.disabled)))
