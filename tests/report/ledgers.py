"""Ledgers for tests: a small one with a row of every status, a hostile one, large ones, and arbitrary ones.

A feature that adds a field to the ledger extends `arbitrary` too.
"""

from __future__ import annotations

from hypothesis import strategies as st
from msgspec.structs import replace

from hostproof.knowledge.terms import Checked, Objective, Presence, Status, Threat
from hostproof.ledger.model import (
    FORMAT,
    AttackFinding,
    ChannelSummary,
    Control,
    DriverCount,
    Evidence,
    FactSeen,
    Headline,
    InputFile,
    Ledger,
    MissingFact,
    ObjectiveFinding,
    OptionUsed,
    PlaceSeen,
    Row,
    ThreatFinding,
    WaiverReport,
)

ESCAPE = "\x1b[2J\x1b]0;owned\x07"
MARKUP = "[red]boo[/red] [link=https://evil.example]x[/link] :smile:"
SCRIPT = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\"'"
BIDI = "safe\u202egnp.exe\u2066\u200b\ufeff"
LINES = "first\nsecond\r\n\tthird\x85\u2028\u2029"
LINK = "[click](https://evil.example) {0} `code` |pipe| *star* _under_ ``x`` <b> &amp; #35; --> %% \\"
OTHERS = "nul\x00 fffe\ufffe lone surrogates are refused before"
HOSTILE = (ESCAPE, MARKUP, SCRIPT, BIDI, LINES, LINK, OTHERS)


def row(
    channel: str = "C13",
    instance: str = "e1000e",
    threat: Threat = Threat.T3,
    status: Status = Status.OPEN,
    *,
    channel_name: str = "PCI drivers",
    presence: Presence = Presence.PRESENTABLE,
    reason: str = "the host may present it, the guest binds a driver to it, and nothing stops it",
    **fields: object,
) -> Row:
    """A row with what matters to a test; the rest is plausible."""
    return replace(
        Row(
            id=f"{channel}/{instance}/{threat.value}",
            channel=channel,
            channel_name=channel_name,
            instance=instance,
            instance_name=instance,
            threat=threat,
            objectives=[Objective.O2],
            status=status,
            presence=presence,
            reason=reason,
        ),
        **fields,
    )


def evidence(status: Status = Status.REFUSED, *, decides: bool = True, **fields: object) -> Evidence:
    """Evidence from the guest's configuration."""
    return replace(
        Evidence(
            status=status,
            by="guest",
            rule="mitigation:ia32-emulation-off",
            mechanism="the kernel does not handle int 0x80",
            decides=decides,
            facts=[FactSeen("config.IA32_EMULATION", "n", PlaceSeen("kernel.deb!boot/config-6.1", line=412))],
            sources=["LWN-956852"],
        ),
        **fields,
    )


def of_every_status() -> list[Row]:
    """One row of each status, in the order of channels."""
    vector = PlaceSeen("vm.xml", line=31, column=5, path="domain/devices/interface[1]")
    kernel = MissingFact("config.IA32_EMULATION", "--kernel")
    return [
        row("C01", "ports", Threat.T3, Status.PREVENTED, channel_name="Port I/O", presence=Presence.CONFIGURED,
            evidence=[evidence(Status.PREVENTED, by="security-manager", rule="primitive:lie-port-io")]),
        row("C03", "cmdline", Threat.T1, Status.ATTESTED, channel_name="Kernel command line",
            evidence=[evidence(Status.ATTESTED, by="attestation", rule="pin:snp-kernel-hashes")]),
        row("C13", "e1000e", Threat.T3, text_bytes=300_000, place=vector, presence=Presence.CONFIGURED,
            advice="build the guest's kernel without E1000E",
            evidence=[evidence(decides=False, why_not="it stops only a part",
                               rests_on=["C03/cmdline/T1", "C99/none/T1"])]),
        row("C13", "nouveau", Threat.T3, text_bytes=2_400_000),
        row("C13", "nouveau", Threat.T4, text_bytes=2_400_000),
        row("C13", "hyperv_fb", Threat.T3, Status.HARDENED, evidence=[evidence(Status.HARDENED, by="hardening")]),
        row("C13", "ivshmem", Threat.T3, Status.ACCEPTED,
            evidence=[evidence(Status.ACCEPTED, by="waiver", rule="waiver:C13/ivshmem/*",
                               mechanism="needed for the test rig until 2027-01-01 (owner: rig team)")]),
        row("C20", "vda", Threat.T2, Status.SEALED, channel_name="Block data", evidence=[evidence(Status.SEALED)]),
        row("C21", "int80", Threat.T4, Status.UNKNOWN, channel_name="Interrupt vectors", missing=[kernel]),
        row("C21", "vector-29", Threat.T4, Status.UNKNOWN, channel_name="Interrupt vectors",
            missing=[kernel, MissingFact("platform.smt", "--fact platform.smt=...")]),
        row("C22", "dsdt", Threat.T3, Status.REFUSED, channel_name="ACPI tables", evidence=[evidence()]),
        row("C23", "crash", Threat.T4, Status.OUT_OF_SCOPE, channel_name="Scheduling"),
        row("C24", "vmbus", Threat.T3, Status.ABSENT, channel_name="VMBus", presence=Presence.ABSENT),
    ]  # fmt: skip


def sample() -> Ledger:
    """A plausible SEV-ES guest: an objective that is not met, a debug warning, a row of every status."""
    rows = of_every_status()
    names = dict.fromkeys((one.channel, one.channel_name) for one in rows)
    missing = MissingFact("platform.snp_firmware", "--fact platform.snp_firmware=VERSION")
    return Ledger(
        format=FORMAT,
        hostproof="0.1.0",
        rule_set="2026.1",
        name="web-1",
        technology="sev-es",
        technology_name="AMD SEV-ES",
        use="cloud-server",
        use_name="Server at a cloud provider",
        headline=Headline(
            confidential="confidential VM: AMD SEV-ES; DEBUG IS ALLOWED: the host may read its memory",
            drivers="configured: 13 drivers, 0.28 MiB; presentable: 1,167 drivers, 35.9 MiB",
            configured=DriverCount(13, 293_601),
            presentable=DriverCount(1167, 37_643_878),
            warnings=["the launch policy allows debugging (bit 0 is clear)"],
        ),
        control=Control(41, 47, 53),
        inputs=[
            InputFile("definition", "vm.xml", "libvirt-xml", "ab" * 32),
            InputFile("kernel", "kernel.deb", "deb", "cd" * 32),
        ],
        objectives=[
            ObjectiveFinding(
                Objective.O1, "private memory and registers", False, "the technology has no memory integrity"
            ),
            ObjectiveFinding(Objective.O2, "no privilege escalation", None, "a fact is missing", [missing]),
        ],
        threats=[
            ThreatFinding(Threat.T1, "malicious configuration", True, "always"),
            ThreatFinding(Threat.T2, "attacks on data in transit", True, "the host carries data"),
            ThreatFinding(Threat.T3, "malformed run-time input", True, "always"),
            ThreatFinding(Threat.T4, "malicious but well-formed run-time input", False, "only for this test"),
        ],
        channels=[ChannelSummary(key, name, ["R"], True, True, "it exists") for key, name in names],
        options=[
            OptionUsed("crash_is_finding", "Is a crash a finding?", "no", True, "denial of service is out of scope"),
            OptionUsed("side_channels", "Do side channels count?", "out", False, "vendors leave them to software"),
        ],
        rows=rows,
        attacks=[
            AttackFinding("cachewarp", "CacheWarp", "USENIX Security 2024", "works", "the firmware is older",
                          ["I", "PE"], ["C13"], ["CVE-2023-20592"]),
            AttackFinding("heckler", "Heckler", "USENIX Security 2024", "unknown", "a fact is missing",
                          ["C"], ["C21"], [], [missing]),
        ],
        waivers=[
            WaiverReport("C13/ivshmem/*", "test rig", "rig team", "2027-01-01", "used", 1),
            WaiverReport("C13/gone/*", "old", "nobody", "2025-01-01", "expired", 0),
        ],
        features=[FactSeen("feature.memory_integrity", "false")],
        notes=["the machine type was taken from the default"],
    )  # fmt: skip


def hostile() -> Ledger:
    """A ledger whose every text that an adversary could choose is an attack on some renderer."""
    everything = " ".join(HOSTILE)
    rows = [
        row("C13", text, status=status, channel_name=everything, reason=text, advice=everything,
            instance_name=everything,
            text_bytes=7, place=PlaceSeen(f"../{everything}", line=3, path=everything),
            evidence=[evidence(mechanism=everything, rule=everything, by=everything, why_not=everything,
                               sources=[everything], rests_on=[everything])],
            missing=[MissingFact(everything, everything)], facts=[FactSeen(everything, everything)],
            sources=[everything])
        for text, status in zip(HOSTILE, Status, strict=False)
    ]  # fmt: skip
    return replace(
        sample(),
        name=everything,
        technology_name=everything,
        use_name=everything,
        rule_set=everything,
        headline=Headline(confidential=everything, drivers=everything, warnings=[everything]),
        channels=[ChannelSummary("C13", everything, ["R"], True, True, everything, everything)],
        inputs=[InputFile(everything, everything, everything, "")],
        objectives=[ObjectiveFinding(Objective.O1, everything, False, everything)],
        threats=[ThreatFinding(Threat.T3, everything, False, everything)],
        options=[OptionUsed(everything, everything, everything, False, everything)],
        rows=rows,
        attacks=[AttackFinding("x", everything, everything, "works", everything, ["C"], [everything], [everything])],
        waivers=[WaiverReport(everything, everything, everything, everything, "orphan", 0)],
        features=[FactSeen(everything, everything)],
        notes=[everything],
    )


def large(number: int) -> Ledger:
    """A ledger with `number` rows, as a distribution kernel without a device filter gives: drivers under T3 and T4."""
    stops = [
        evidence(decides=False, why_not="the command line is not pinned", mechanism="authorised devices only",
                 rule="mitigation:device-filter", rests_on=["C03/cmdline/T1"]),
    ]  # fmt: skip
    rows = [
        row(
            "C13",
            f"driver_{index // 2:04}",
            Threat.T3 if index % 2 == 0 else Threat.T4,
            Status.OPEN if index % 3 else Status.REFUSED,
            text_bytes=10_000 + 17 * index,
            reason=f"the host may present a device for driver_{index // 2:04}, and nothing stops the guest from binding it",
            facts=[
                FactSeen(
                    f"module.driver_{index // 2:04}",
                    "m",
                    PlaceSeen(f"kernel.deb!lib/modules/6.1.0-55-amd64/kernel/drivers/net/driver_{index // 2:04}.ko"),
                )
            ],
            evidence=stops,
            sources=["TM: section 4"],
        )
        for index in range(number)
    ]
    return replace(sample(), rows=rows)


_text = st.sampled_from(HOSTILE) | st.text(max_size=12)
_number = st.integers(min_value=0, max_value=2**62)
_digest = st.just("") | st.just("00" * 32)


def _few(strategy: st.SearchStrategy[object], most: int = 2) -> st.SearchStrategy[list[object]]:
    return st.lists(strategy, max_size=most)


_place = st.builds(
    PlaceSeen, _text, line=st.none() | _number, column=st.none() | _number, offset=st.none() | _number,
    path=st.none() | _text,
)  # fmt: skip
_fact = st.builds(FactSeen, _text, _text, st.none() | _place)
_missing = st.builds(MissingFact, _text, _text)
_evidence = st.builds(
    Evidence, st.sampled_from(Status), _text, _text, _text, st.booleans(), _text, _few(_fact), _few(_text),
    st.sampled_from(Checked), _few(_text),
)  # fmt: skip
_count = st.builds(DriverCount, _number, _number)
rows = st.builds(
    Row,
    id=_text,
    channel=st.sampled_from(["C01", "C02"]) | _text,
    channel_name=_text,
    instance=_text,
    instance_name=_text,
    threat=st.sampled_from(Threat),
    objectives=_few(st.sampled_from(Objective)),
    status=st.sampled_from(Status),
    presence=st.sampled_from(Presence),
    reason=_text,
    place=st.none() | _place,
    text_bytes=st.none() | _number,
    evidence=_few(_evidence),
    missing=_few(_missing),
    facts=_few(_fact),
    sources=_few(_text),
    advice=_text,
)
arbitrary = st.builds(
    Ledger,
    format=st.just(FORMAT),
    hostproof=_text,
    rule_set=_text,
    name=_text,
    technology=_text,
    technology_name=_text,
    use=_text,
    use_name=_text,
    headline=st.builds(
        Headline, _text, _text, st.none() | _count, st.none() | _count, st.none() | _count, st.none() | _count, _few(_text)
    ),
    control=st.builds(Control, _number, _number, _number),
    inputs=_few(st.builds(InputFile, _text, _text, _text, _digest)),
    objectives=_few(
        st.builds(
            ObjectiveFinding, st.sampled_from(Objective), _text, st.none() | st.booleans(), _text, _few(_missing), _few(_text)
        )
    ),
    threats=_few(st.builds(ThreatFinding, st.sampled_from(Threat), _text, st.booleans(), _text, _few(_text))),
    channels=_few(
        st.builds(
            ChannelSummary, st.sampled_from(["C01", "C02", "C03"]) | _text, _text, _few(st.sampled_from("RASLO")),
            st.booleans(), st.booleans(), _text, _text,
        )
    ),
    options=_few(st.builds(OptionUsed, _text, _text, _text, st.booleans(), _text)),
    rows=st.lists(rows, max_size=3, unique_by=lambda one: one.id),
    attacks=_few(
        st.builds(
            AttackFinding, _text, _text, _text,
            st.sampled_from(["works", "fixed", "not-affected", "out-of-scope", "unknown"]),
            _text, _few(_text), _few(_text), _few(_text), _few(_missing), _few(_text), st.sampled_from(Checked),
        )
    ),
    waivers=_few(
        st.builds(WaiverReport, _text, _text, _text, _text, st.sampled_from(["used", "expired", "orphan"]), _number)
    ),
    features=_few(_fact),
    notes=_few(_text),
)  # fmt: skip


if __name__ == "__main__":
    from pathlib import Path

    from hostproof.ledger.codec import encode

    corpus = Path(__file__).parents[1] / "corpus" / "ledgers"
    (corpus / "sev-es-web-1.json").write_bytes(encode(sample()))
