"""Confidential-guest objects: which technology, which policy, and whether the machine uses them at all."""

from __future__ import annotations

import pytest
from tests.artefacts.machine.qemu.samples import confidential, line, sample, unread


class TestConfidentiality:
    def test_an_object_that_nobody_uses_is_declared_and_not_defined(self) -> None:
        machine = sample("unused-object.cmd")

        assert machine.confidential is None
        ((sentence, place),) = machine.declared
        assert "sev-snp-guest" in sentence
        assert place.path == "-object #1"
        assert machine.boot.kernel_hashes is None

    def test_a_reference_without_an_object_is_declared_and_unread(self) -> None:
        machine = line("qemu-system-x86_64 -machine q35,confidential-guest-support=sev0")

        assert machine.confidential is None
        assert len(machine.declared) == 1
        assert unread(machine) == ["confidential-guest-support"]

    def test_s390_protected_guest(self) -> None:
        machine = sample("secure-execution.cmd")

        assert confidential(machine).technology == "s390-pv"
        assert confidential(machine).policy is None
        assert (machine.architecture, machine.vcpus) == ("s390x", 2)

    @pytest.mark.parametrize(
        ("properties", "policy"),
        [
            ("", 0x10000000),
            (",sept-ve-disable=off", 0x0),
            (",attributes=0", 0x0),
            (",attributes=0x40000000,sept-ve-disable=on", 0x50000000),
            (",debug=on", 0x10000001),
        ],
    )
    def test_tdx_attributes(self, properties: str, policy: int) -> None:
        machine = line(
            f"qemu-system-x86_64 -machine q35,confidential-guest-support=t -object tdx-guest,id=t{properties}"
        )

        assert confidential(machine).policy == policy

    @pytest.mark.parametrize(
        ("policy", "technology"), [("", "sev"), (",policy=0x4", "sev-es"), (",policy=0xfb", "sev")]
    )
    def test_bit_2_of_the_sev_policy_makes_sev_es(self, policy: str, technology: str) -> None:
        machine = line(f"qemu-system-x86_64 -machine q35,confidential-guest-support=s -object sev-guest,id=s{policy}")

        assert confidential(machine).technology == technology

    def test_sev_default_policy_forbids_debugging(self) -> None:
        machine = line("qemu-system-x86_64 -machine q35,confidential-guest-support=s -object sev-guest,id=s")

        assert confidential(machine).policy == 0x1

    def test_an_unknown_property_of_a_guest_object_is_unread(self) -> None:
        machine = line(
            "qemu-system-x86_64 -machine q35,confidential-guest-support=s -object sev-snp-guest,id=s,allow-everything=on"
        )

        assert unread(machine) == ["sev-snp-guest.allow-everything"]

    def test_set_cannot_change_an_object(self) -> None:
        machine = line(
            "qemu-system-x86_64 -machine q35,confidential-guest-support=s -object sev-snp-guest,id=s "
            "-set object.s.policy=0xb0000"
        )

        assert confidential(machine).policy == 0x30000
        assert unread(machine) == ["-set object.s.policy=0xb0000"]

    def test_the_last_machine_wins(self) -> None:
        machine = line(
            "qemu-system-x86_64 -machine q35,confidential-guest-support=s -object sev-guest,id=s -object tdx-guest,id=t "
            "-machine confidential-guest-support=t"
        )

        assert confidential(machine).technology == "tdx"
        assert len(machine.declared) == 1

    def test_igvm_file_is_used_only_where_the_machine_names_it(self) -> None:
        used = line("qemu-system-x86_64 -machine q35,igvm-cfg=i -object igvm-cfg,id=i,file=svsm.igvm")
        unused = line("qemu-system-x86_64 -machine q35 -object igvm-cfg,id=i,file=svsm.igvm")

        assert used.boot.igvm == "svsm.igvm"
        assert unused.boot.igvm is None
        assert unread(unused) == ["object igvm-cfg"]
