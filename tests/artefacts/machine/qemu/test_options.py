"""Options, their sugar and their back ends: what each gives the guest."""

from __future__ import annotations

import json

import pytest
from tests.artefacts.machine.qemu.samples import CORPUS, line, named, sample, unread, written

from hostproof.artefacts.machine.qemu import read
from hostproof.artefacts.machine.qemu.options import OPTIONS
from hostproof.artefacts.machine.qemu.reader import READERS
from hostproof.place import Place


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
        machine = read(data, "vm", companions={"base.cfg": (CORPUS / "base.cfg").read_bytes()})

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


def test_globals_of_a_model_and_of_its_alias_come_in_the_order_of_the_names() -> None:
    machine = line(
        "qemu-system-x86_64 -machine q35 -nodefaults -global virtio-blk-pci.b=2 -global virtio-blk.a=1 -device virtio-blk"
    )

    assert named(machine, "virtio-blk-pci").properties == (("a", "1"), ("b", "2"))
