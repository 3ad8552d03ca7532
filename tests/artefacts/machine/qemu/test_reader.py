"""The QEMU command line reader against samples written for it, and against real ones."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.artefacts.machine.qemu.samples import CORPUS, confidential, line, named, sample, unread, written

from hostproof.artefacts.machine.model import Machine
from hostproof.artefacts.machine.qemu import is_qemu, read, read_argv
from hostproof.errors import InputError
from hostproof.place import Place

SAMPLES = sorted(path for path in CORPUS.iterdir() if path.name != "base.cfg")


class TestProxmox:
    @pytest.fixture
    def snp(self, shared: Path) -> Machine:
        name = "proxmox__qemu-server__sev-snp.conf.cmd"
        return read((shared / "vm-definitions" / name).read_bytes(), name)

    @pytest.fixture
    def sev(self, shared: Path) -> Machine:
        name = "proxmox__qemu-server__sev-std.conf.cmd"
        return read((shared / "vm-definitions" / name).read_bytes(), name)

    def test_snp_policy_allows_smt_and_debugging(self, snp: Machine) -> None:
        found = confidential(snp)

        assert found.technology == "sev-snp"
        assert found.policy == 1 << 16 | 1 << 17 | 1 << 19
        assert found.policy_origin == "definition"

    def test_snp_board_is_pc_with_the_suffix_noted(self, snp: Machine) -> None:
        assert snp.board is not None
        assert snp.board.startswith("pc")
        assert "+pve0" not in snp.board
        assert any("'+pve0'" in note for note in snp.notes)

    def test_snp_devices_are_those_of_the_definition(self, snp: Machine) -> None:
        expected = ["pci-bridge", "pci-bridge", "piix3-usb-uhci", "usb-tablet", "VGA", "virtio-balloon-pci"]

        assert written(snp) == expected
        assert ("free-page-reporting", "on") in named(snp, "virtio-balloon-pci").properties

    def test_snp_boots_ovmf_without_kernel_hashes(self, snp: Machine) -> None:
        assert snp.boot.kernel_hashes is False
        assert snp.boot.kernel is None
        assert snp.boot.firmware == "/usr/share/pve-edk2-firmware//OVMF_SEV_4M.fd"

    def test_snp_is_read_without_a_rest(self, snp: Machine) -> None:
        assert unread(snp) == []
        assert (snp.name, snp.vcpus, snp.memory_mib, snp.cpu_model) == ("vm8006", 1, 512, "kvm64")
        assert snp.architecture == "x86_64"

    def test_sev_policy_has_the_nodbg_bit_clear(self, sev: Machine) -> None:
        found = confidential(sev)

        assert found.technology == "sev"
        assert found.policy == 0x8

    def test_sev_flash_comes_from_json_block_nodes(self, sev: Machine) -> None:
        assert sev.boot.firmware == "/usr/share/pve-edk2-firmware//OVMF_SEV_CODE_4M.fd"
        assert sev.boot.firmware_variables == "/var/lib/vz/images/100/vm-100-disk-0.raw"
        assert unread(sev) == []


class TestScript:
    def test_the_command_of_a_script_is_found_and_its_wrappers_left_out(self) -> None:
        machine = sample("snp-direct.sh")

        assert machine.architecture == "x86_64"
        assert machine.name == "snp guest, one"
        assert machine.vcpus == 8

    def test_places_are_lines_and_columns_of_the_script(self) -> None:
        machine = sample("snp-direct.sh")

        expected = Place("snp-direct.sh", line=25, column=9, path="-device #1")
        assert named(machine, "virtio-net-pci").place == expected

    def test_snp_default_policy_and_launch_fields(self) -> None:
        machine = sample("snp-direct.sh")
        found = confidential(machine)

        assert found.policy == 0x30000
        assert found.policy_place is None
        assert "default of QEMU" in found.policy_origin
        assert machine.boot.kernel_hashes is True
        launch = [(row.name, row.value) for row in machine.host_inputs if row.channel == "C10"]
        assert launch == [("host-data", "AAAA"), ("id-block", "BBBB"), ("id-auth", "CCCC")]

    def test_back_ends_are_found(self) -> None:
        machine = sample("snp-direct.sh")

        assert named(machine, "virtio-net-pci").backend == "user:hostfwd=tcp::2222-:22"
        assert named(machine, "virtio-blk-pci").backend == "file:disk,one.qcow2"
        assert named(machine, "virtio-rng-pci").backend == "rng-random:/dev/random"
        assert named(machine, "isa-serial").backend == "stdio"

    def test_host_inputs_have_their_channels(self) -> None:
        machine = sample("snp-direct.sh")

        expected = [
            ("command line", "C03", "root=/dev/vda ro console=ttyS0 quiet"),
            ("opt/ovmf/X-PciMmio64Mb", "C06", "262144"),
            ("opt/org.example/blob", "C06", "file:/etc/blob"),
            ("SMBIOS type 11", "C05", "type=11,value=io.systemd.credential:key=value"),
        ]
        found = [(row.name, row.channel, row.value) for row in machine.host_inputs if row.channel != "C10"]
        assert found == expected

    def test_variables_stay_as_written(self) -> None:
        machine = sample("snp-direct.sh")

        assert machine.memory_mib is None
        assert unread(machine) == ["$EXTRA", "-m $MEM"]
        assert any("$MEM in -m" in note for note in machine.notes)

    def test_a_variable_for_the_program_is_seen_by_the_options(self) -> None:
        machine = line("QEMU=qemu-system-x86_64\n$QEMU -nodefaults -machine q35 -m 512")

        assert machine.memory_mib == 512
        assert machine.architecture == "x86_64"
        assert any("does not name its architecture" in note for note in machine.notes)

    def test_a_policy_from_a_variable_is_unread_and_not_the_default(self) -> None:
        machine = line(
            "qemu-system-x86_64 -machine q35,confidential-guest-support=s -object sev-snp-guest,id=s,policy=$POLICY"
        )

        assert confidential(machine).policy is None
        assert "sev-snp-guest.policy" in unread(machine)

    def test_json_that_needs_a_variable_is_unread(self) -> None:
        machine = line('qemu-system-x86_64 -M q35 -object "{\\"qom-type\\":\\"sev-guest\\",\\"policy\\":$P}"')

        assert machine.confidential is None
        assert len(unread(machine)) == 1

    def test_commands_that_only_print_are_passed_over(self) -> None:
        machine = line("qemu-system-x86_64 --version\nqemu-system-x86_64 -machine help\nqemu-system-s390x -m 1G")

        assert machine.architecture == "s390x"
        assert machine.board is not None
        assert machine.board.startswith("s390-ccw-virtio")

    def test_a_libvirt_log_is_a_script_as_well(self) -> None:
        machine = line(
            "2026-01-01 10:00:00.000+0000: starting up libvirt version: 11.3.0, qemu version: 10.0.0, hostname: h\n"
            "LC_ALL=C \\\nHOME=/var/lib \\\n/usr/bin/qemu-system-x86_64 \\\n-name guest=vm,debug-threads=on \\\n-S \\\n"
            "-machine pc-q35-9.2,usb=off,acpi=on -m size=1048576k -msg timestamp=on\n"
            "char device redirected to /dev/pts/1 (label charserial0)\n"
        )

        assert (machine.name, machine.memory_mib) == ("vm", 1024)
        assert unread(machine) == []

    def test_further_commands_are_told(self) -> None:
        machine = line("qemu-system-x86_64 -machine pc\nqemu-system-x86_64 -machine q35")

        assert machine.board is not None
        assert machine.board.startswith("pc")
        assert unread(machine) == ["qemu-system-x86_64"]
        assert machine.unread[0].place.line == 2

    def test_nothing_is_expanded_or_run(self, tmp_path: Path) -> None:
        victim = tmp_path / "made"
        machine = line(f'qemu-system-x86_64 -machine pc -name "$(touch {victim})" -uuid `touch {victim}`')

        assert not victim.exists()
        assert machine.name == f"$(touch {victim})"


class TestForms:
    def test_json_array(self) -> None:
        machine = sample("sev-es.json")

        assert confidential(machine).technology == "sev-es"
        assert confidential(machine).policy == 5
        assert machine.boot.command_line == "console=ttyS0 über"
        assert machine.boot.kernel_hashes is False
        assert machine.vmm_version == "7.2"

    def test_proc_cmdline_keeps_arguments_apart(self) -> None:
        machine = sample("proc-cmdline")

        assert machine.boot.command_line == "a b  c"
        assert machine.boot.command_line_place == Place("proc-cmdline", offset=53, path="-append #1")

    def test_a_plain_list_goes_on_over_lines(self) -> None:
        machine = sample("plain-list.args")

        assert machine.architecture == "aarch64"
        assert machine.cpu_model == "host"
        assert confidential(machine).technology == "cca"
        assert [row.name for row in machine.host_inputs] == ["personalization-value", "command line"] or [
            row.name for row in machine.host_inputs
        ] == ["command line", "personalization-value"]

    def test_options_without_a_binary_have_no_board(self) -> None:
        machine = read_argv(
            [("-device", Place("d.xml", line=7)), ("edu", Place("d.xml", line=8))], "d.xml", "libvirt-xml"
        )

        assert machine.board is None
        assert [device.model for device in machine.devices] == ["edu"]
        assert machine.devices[0].place == Place("d.xml", line=7, path="-device #1")
        assert machine.format == "libvirt-xml"

    def test_places_of_another_reader_stay(self) -> None:
        place = Place("d.xml", line=7, path="domain/qemu:commandline/qemu:arg[1]")
        machine = read_argv([("-device", place), ("edu", place)], "d.xml", "libvirt-xml")

        assert machine.devices[0].place == place

    def test_json_objects_without_quotes_are_kept_whole(self) -> None:
        machine = sample("tdx.cmd").confidential

        assert machine is not None
        assert ("quote-generation-socket.port", "4050") in machine.fields
        bare = line('qemu-system-x86_64 -machine q35 -device {"driver":"virtio-rng-pci","id":"a b"} -m 1G')
        assert named(bare, "virtio-rng-pci").id == "a b"

    @pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name)
    def test_every_sample_is_recognised_and_read(self, path: Path) -> None:
        data = path.read_bytes()

        assert is_qemu(data)
        assert read(data, path.name).vmm == "qemu"

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "[]",
            "# qemu-system-x86_64 -machine pc",
            'path = "/usr/bin/qemu-system-x86_64"\nmachine_type = "q35"',
            "<domain><emulator>/usr/bin/qemu-system-x86_64</emulator></domain>",
            "apt install qemu-system-x86_64 -y",
            "machine: q35\nargs: -device edu",
            '{"argv": 1}',
            "\xff",
        ],
    )
    def test_other_files_are_not_taken_for_qemu(self, text: str) -> None:
        assert not is_qemu(text.encode("latin-1"))

    @pytest.mark.parametrize("text", ["[]", " [ ] ", "", ";;", "\0"])
    def test_a_file_without_a_word_is_no_command_line(self, text: str) -> None:
        with pytest.raises(InputError, match="no QEMU command line"):
            read(text.encode(), "vm")
