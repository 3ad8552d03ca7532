"""The QEMU command line reader against samples written for it, and against real ones."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostproof.artefacts.machine.model import Confidential, Device, Machine
from hostproof.artefacts.machine.qemu import READERS, is_qemu, read, read_argv
from hostproof.artefacts.machine.qemu_options import OPTIONS
from hostproof.errors import HostproofError, InputError
from hostproof.place import Place

CORPUS = Path(__file__).parents[2] / "corpus" / "qemu"
SAMPLES = sorted(path for path in CORPUS.iterdir() if path.name != "base.cfg")


def sample(name: str) -> Machine:
    return read((CORPUS / name).read_bytes(), name)


def line(text: str) -> Machine:
    return read(text.encode(), "line")


def confidential(machine: Machine) -> Confidential:
    assert machine.confidential is not None
    return machine.confidential


def named(machine: Machine, model: str) -> Device:
    (device,) = [device for device in machine.devices if device.model == model]
    return device


def written(machine: Machine) -> list[str]:
    return [device.model for device in machine.devices if device.origin == "definition"]


def unread(machine: Machine) -> list[str]:
    return [row.option for row in machine.unread if not row.why.startswith("no device model")]


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


class TestOptions:
    def test_every_option_names_a_reader_or_a_reason(self) -> None:
        wrong = [option.name for option in OPTIONS.values() if (option.reader in READERS) == bool(option.why)]

        assert wrong == []

    def test_legacy_options_are_all_read(self) -> None:
        machine = sample("legacy.cmd")

        expected = {
            "sb16", "usb-tablet", "isa-vga", "virtio-balloon-pci", "ib700", "virtio-9p-pci", "ne2k_isa", "isa-serial",
            "ide-hd", "ide-cd", "floppy",
        }  # fmt: skip
        assert expected <= {device.model for device in machine.devices}
        assert unread(machine) == ["-zap thunder"]

    def test_configuration_files_are_read_where_they_are_given(self) -> None:
        data = (CORPUS / "configured.cmd").read_bytes()
        machine = read(data, "vm", {"base.cfg": (CORPUS / "base.cfg").read_bytes()})

        card = named(machine, "virtio-net-pci")
        assert machine.memory_mib == 1024
        assert card.backend == "tap:tap3"
        assert card.place == Place("base.cfg", line=13, path='[device "net0"]')
        assert dict(card.properties) == {
            "netdev": "n0",
            "mac": "52:54:00:12:34:57",
            "disable-legacy": "on",
            "romfile": "",
        }
        assert unread(machine) == ["-set drive.missing.cache=none", "-readconfig absent.cfg"]

    def test_a_missing_configuration_file_is_named(self) -> None:
        rows = [row for row in sample("configured.cmd").unread if "base.cfg" in row.option]

        assert len(rows) == 1
        assert "base.cfg" in rows[0].why

    def test_json_and_qemuopts_give_the_same(self) -> None:
        options = line(
            "qemu-system-x86_64 -machine q35 -device virtio-blk-pci,drive=d,id=a,bootindex=1 -drive if=none,id=d,file=x"
        )
        value = json.dumps({"driver": "virtio-blk-pci", "drive": "d", "id": "a", "bootindex": 1})
        as_json = line(f"qemu-system-x86_64 -machine q35 -device '{value}' -blockdev file,node-name=d,filename=x")

        assert named(options, "virtio-blk-pci").properties == named(as_json, "virtio-blk-pci").properties
        assert named(as_json, "virtio-blk-pci").backend == "file:x"

    @pytest.mark.parametrize(
        ("options", "model", "backend"),
        [
            (
                "-chardev socket,id=c,path=/run/fs.sock -device vhost-user-fs-pci,chardev=c",
                "vhost-user-fs-pci",
                "unix:/run/fs.sock",
            ),
            ("-chardev socket,id=c,host=h,port=1,server=on -device virtconsole,chardev=c", "virtconsole", "tcp:h:1"),
            ("-device virtconsole,chardev=c -chardev file,id=c,path=/log", "virtconsole", "file:/log"),
            (
                "-tpmdev emulator,id=t,chardev=c -chardev socket,id=c,path=/t -device tpm-crb,tpmdev=t",
                "tpm-crb",
                "emulator:unix:/t",
            ),
            (
                "-netdev vhost-user,id=n,chardev=c -chardev socket,id=c,path=/v -device virtio-net-pci,netdev=n",
                "virtio-net-pci",
                "vhost-user:unix:/v",
            ),
            ("-device vfio-pci,host=01:00.0", "vfio-pci", "host:01:00.0"),
            ("-device vhost-vsock-pci,guest-cid=3", "vhost-vsock-pci", "vhost-vsock"),
            ("-netdev tap,id=n,ifname=t0 -device e1000,netdev=n", "e1000", "tap:t0"),
            (
                '-netdev \'{"type":"stream","id":"n","addr":{"type":"unix","path":"/p"}}\' -device e1000,netdev=n',
                "e1000",
                "stream:/p",
            ),
            (
                "-fsdev local,id=f,path=/srv,security_model=none -device virtio-9p-pci,fsdev=f,mount_tag=m",
                "virtio-9p-pci",
                "local:/srv",
            ),
            (
                "-object memory-backend-file,id=m,mem-path=/dev/shm/x,size=1M -device ivshmem-plain,memdev=m",
                "ivshmem-plain",
                "memory-backend-file:/dev/shm/x",
            ),
            ("-drive file=nbd://h/e,if=none,id=d -device nvme,drive=d,serial=1", "nvme", "file:nbd://h/e"),
            (
                "-blockdev driver=nbd,node-name=d,server.type=inet,server.host=h,server.port=1 -device nvme,drive=d,serial=1",
                "nvme",
                "nbd:h",
            ),
            ("-serial unix:/s,server=on,wait=off", "isa-serial", "unix:/s"),
            ("-chardev pty,id=c -serial chardev:c", "isa-serial", "pty"),
        ],
    )
    def test_the_hosts_end_of_a_device(self, options: str, model: str, backend: str) -> None:
        assert named(line(f"qemu-system-x86_64 -M q35 -nodefaults {options}"), model).backend == backend

    @pytest.mark.parametrize(
        ("options", "name", "channel"),
        [
            ("-acpitable sig=SSDT,file=a.aml", "ACPI table", "C04"),
            ("-machine x-oem-id=ACME", "x-oem-id", "C04"),
            ("-smbios file=blob", "SMBIOS file", "C05"),
            ("-uuid 7b10d7af-b932-4c66-b2c3-3996152ec465", "SMBIOS type 1", "C05"),
            ("-fw_cfg name=opt/a,gen_id=o", "opt/a", "C06"),
            ("-boot menu=on", "boot order", "C06"),
            ("-machine append=quiet", "command line", "C03"),
            ("-device loader,addr=0x1000,data=1,data-len=4", "loader", ""),
            ("-incoming tcp:0:4444", "saved state", ""),
            ("-option-rom x.rom", "option ROM", ""),
            ("-gdb tcp::1234", "debugger", ""),
            ("-rtc base=2020-01-01", "time of day", ""),
        ],
    )
    def test_other_inputs_at_launch(self, options: str, name: str, channel: str) -> None:
        (found,) = line(f"qemu-system-x86_64 -M q35 -nodefaults {options}").host_inputs

        assert (found.name, found.channel) == (name, channel)

    def test_flash_may_be_a_drive(self) -> None:
        machine = line("qemu-system-x86_64 -machine q35,pflash0=code -drive if=none,id=code,file=OVMF.fd,readonly=on")

        assert machine.boot.firmware == "OVMF.fd"

    def test_a_board_without_default_drives_gets_what_was_asked_only(self) -> None:
        machine = line("qemu-system-x86_64 -machine pc-q35-7.2 -nodefaults -device virtio-net-pci")

        assert written(machine) == ["virtio-net-pci"]
        assert {device.origin for device in machine.devices} == {"definition", "board"}

    def test_defaults_are_told_as_defaults(self) -> None:
        machine = line("qemu-system-x86_64 -machine pc-q35-7.2 -vga none")

        found = {device.model for device in machine.devices if device.origin == "default"}
        assert found == {"e1000e", "isa-serial", "isa-parallel", "ide-cd"}

    def test_block_nodes_in_a_ring_end(self) -> None:
        machine = line(
            "qemu-system-x86_64 -machine q35 -blockdev raw,node-name=a,file=b -blockdev raw,node-name=b,file=a "
            "-device virtio-blk-pci,drive=a"
        )

        assert named(machine, "virtio-blk-pci").backend == "raw"

    def test_machine_properties_that_nobody_knows_are_unread(self) -> None:
        assert unread(line("qemu-system-x86_64 -machine q35,open-door=on")) == ["-machine open-door=on"]

    def test_drives_become_devices_of_their_interface(self) -> None:
        machine = line(
            "qemu-system-x86_64 -M q35 -drive file=a,if=virtio -drive file=code.fd,if=pflash,unit=0,readonly=on "
            "-drive if=pflash,file=vars.fd -drive file=c,if=ide,media=cdrom -drive file=n,if=none"
        )

        assert [m for m in written(machine) if "blk" in m or "ide" in m] == ["virtio-blk-pci", "ide-cd"]
        assert (machine.boot.firmware, machine.boot.firmware_variables) == ("code.fd", "vars.fd")


MALFORMED = {
    "nothing": b"",
    "no command": b"echo hello",
    "open single quote": b"qemu-system-x86_64 -name 'a",
    "open double quote": b'qemu-system-x86_64 -name "a',
    "open substitution": b"qemu-system-x86_64 -name $(a",
    "open brace": b"qemu-system-x86_64 -name ${a",
    "open backquote": b"qemu-system-x86_64 -name `a",
    "option without argument": b"qemu-system-x86_64 -machine",
    "broken JSON": b"qemu-system-x86_64 -machine q35 -device '{\"driver\":'",
    "deep JSON": b"qemu-system-x86_64 -machine q35 -device '" + b'{"a":' * 200 + b"1" + b"}" * 200 + b"'",
    "deep JSON array": b"[" * 100_000,
    "array of numbers": b"[1, 2]",
    "not UTF-8": b"qemu-system-x86_64 -name \xff",
    "help": b"qemu-system-x86_64 -help",
    "device help": b"qemu-system-x86_64 -machine q35 -device help",
    "too many arguments": b"qemu-system-x86_64 " + b"-S " * 100_000,
    "too many files": b"qemu-system-x86_64 -machine pc" + b" -readconfig a" * 17,
    "too large": b"qemu-system-x86_64 " + b"a" * 3_000_000,
    "too many keys": b"qemu-system-x86_64 -machine q35 -device a" + b",b" * 20_000,
}


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_input_gives_a_located_error(case: str) -> None:
    with pytest.raises(InputError) as caught:
        read(MALFORMED[case], "sample")

    assert caught.value.place is not None
    assert caught.value.place.artefact == "sample"
    assert caught.value.expected


def test_an_argv_of_100_000_arguments_is_refused() -> None:
    with pytest.raises(InputError, match="100000 arguments"):
        read_argv([("-S", Place("x"))] * 100_000, "x", "qemu-argv")


HEAVY = {
    "globals and devices": ["-global", "edu.a=b"] * 2000 + ["-device", "edu"] * 2000,
    "one disk, then -set": ["-drive", "if=none,id=a,file=b"] + ["-set", "drive.a.b=c"] * 4000,
    "block chain": [
        word
        for number in range(64)
        for word in ("-blockdev", f"raw,node-name=n{number},file=n{number + 1}" + ",a=b" * 900)
    ]
    + ["-device", "virtio-blk-pci,drive=n0"] * 3900,
    "cards": ["-nic", "user"] * 4000,
    "objects": ["-object", "sev-guest,id=a"] * 4000,
    "unknown options": ["-a"] * 8000,
}


@pytest.mark.parametrize("case", HEAVY)
def test_the_largest_command_lines_take_seconds_at_most(case: str) -> None:
    argv = [("qemu-system-x86_64", Place("x")), *((text, Place("x")) for text in HEAVY[case])]
    begun = time.process_time()
    machine = read_argv(argv, "x", "qemu-argv")

    assert machine.vmm == "qemu"
    assert time.process_time() - begun < 5


@pytest.mark.parametrize("config", [b'key = "early"', b"[device", b"[device]\nx = y", b"\xff"])
def test_a_malformed_configuration_file_is_refused(config: bytes) -> None:
    with pytest.raises(InputError) as caught:
        read(b"qemu-system-x86_64 -machine pc -readconfig c", "x", {"c": config})

    assert caught.value.place is not None
    assert caught.value.place.artefact == "c"


@given(st.binary(max_size=400))
def test_arbitrary_bytes_give_a_result_or_our_error(data: bytes) -> None:
    is_qemu(data)
    try:
        read(b"qemu-system-x86_64 " + data, "x")
    except HostproofError:
        return


OPTION_NAMES = st.sampled_from(sorted(OPTIONS))
VALUES = st.text("abq35=,.:{}[]\"'$ \n0x1-id", max_size=30)


@settings(max_examples=200)
@given(st.lists(st.one_of(OPTION_NAMES.map(lambda name: f"-{name}"), VALUES), max_size=12))
def test_arbitrary_arguments_give_a_result_or_our_error(argv: list[str]) -> None:
    try:
        read_argv([(text, Place("x")) for text in ["qemu-system-x86_64", *argv]], "x", "qemu-argv")
    except HostproofError:
        return


@settings(max_examples=100)
@given(st.data())
def test_mutated_samples_give_a_result_or_our_error(data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(SAMPLES))
    text = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        position = data.draw(st.integers(0, len(text) - 1))
        text[position : position + data.draw(st.integers(0, 5))] = data.draw(st.binary(max_size=4))
    try:
        read(bytes(text), path.name, {"base.cfg": (CORPUS / "base.cfg").read_bytes()})
    except HostproofError:
        return
