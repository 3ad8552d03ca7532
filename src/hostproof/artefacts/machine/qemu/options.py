"""QEMU's options: which take an argument, and which reader reads them

One row per option: its name, `+` where it takes an argument, its implied first key (`=` stands for an argument that is no
list of keys), and either the reader that handles it or, after `-`, why it gives the host no input of its own.
Removed options stay, so that command lines of older versions are still split rightly.

SOURCE: QEMU qemu-options.hx (7.2 as `qemu-system-x86_64 --help` prints it, 10.1 upstream); for removed ones
docs/about/removed-features.rst. Implied keys: QemuOptsList.implied_opt_name in softmmu/vl.c (7.2), system/vl.c
(commit 00cfbdcbe16d), hw/core/machine.c, util/qemu-config.c, net/net.c, chardev/char.c, blockdev.c.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["OBJECTS", "OPTIONS", "Option"]


@dataclass(frozen=True, slots=True)
class Option:
    """An option: `argument` whether one follows; `plain` whether that is one text and no list of keys; `implied` the key
    of a first value without key; `reader` the name of its reader, empty where `why` says that it feeds the guest nothing.
    """

    name: str
    argument: bool
    plain: bool
    implied: str | None
    reader: str
    why: str


_TABLE = """
h                  .           exits
help               .           exits
version            .           exits
machine            + type      machine
M                  + type      machine
cpu                + model     cpu
accel              + accel     accel
smp                + cpus      smp
numa               + type      numa
add-fd             + .         - a file descriptor for the VMM
set                + =         set
global             + =         global
boot               + order     boot
m                  + size      memory
mem-path           + =         - where the VMM keeps the guest's memory
mem-prealloc       .           - when the VMM allocates memory
k                  + =         - keyboard layout of the VMM's own display
audio-help         .           exits
audio              + driver    audio
audiodev           + driver    audiodev
soundhw            + =         soundhw
device             + driver    device
name               + guest     name
uuid               + =         uuid
fda                + =         disk
fdb                + =         disk
hda                + =         disk
hdb                + =         disk
hdc                + =         disk
hdd                + =         disk
cdrom              + =         disk
mtdblock           + =         disk
sd                 + =         disk
pflash             + =         disk
blockdev           + driver    blockdev
drive              + .         drive
snapshot           .           - whether the VMM keeps what the guest writes to its disks
fsdev              + fsdriver  fsdev
virtfs             + fsdriver  virtfs
virtfs_synth       .           virtfs
iscsi              + .         - initiator settings of the VMM; the target is named where a disk uses it
usb                .           usb
usbdevice          + =         usbdevice
display            + type      - the host's end of the display
nographic          .           nographic
curses             .           - the host's end of the display
sdl                .           - the host's end of the display
no-frame           .           - the host's end of the display
alt-grab           .           - the host's end of the display
ctrl-grab          .           - the host's end of the display
no-quit            .           - the host's end of the display
show-cursor        .           - the host's end of the display
spice              + .         - the host's end of the display
portrait           .           - the host's end of the display
rotate             + =         - the host's end of the display
full-screen        .           - the host's end of the display
g                  + =         - resolution of the firmware of sparc and m68k boards
vga                + =         vga
vnc                + vnc       - the host's end of the display
win2k-hack         .           - timing of an emulated disk
no-fd-bootchk      .           - whether the firmware checks a floppy's boot sector
no-acpi            .           no-acpi
no-hpet            .           no-hpet
no-kvm             .           - which engine the VMM uses
no-kvm-irqchip     .           - which part of the host emulates the interrupt controller
no-kvm-pit         .           - which part of the host emulates the timer
balloon            + type      balloon
acpitable          + .         acpitable
smbios             + .         smbios
netdev             + type      netdev
nic                + type      nic
net                + type      net
bt                 + =         removed
chardev            + backend   chardev
tpmdev             + type      tpmdev
bios               + =         firmware
kernel             + =         boot-image
shim               + =         shim
append             + =         boot-image
initrd             + =         boot-image
dtb                + =         dtb
compat             + .         - policy for deprecated management commands
fw_cfg             + name      fw_cfg
serial             + =         serial
parallel           + =         parallel
monitor            + =         - the VMM's console; what it adds at run time, the host could always add
qmp                + =         - the VMM's console; what it adds at run time, the host could always add
qmp-pretty         + =         - the VMM's console; what it adds at run time, the host could always add
mon                + chardev   - the VMM's console; what it adds at run time, the host could always add
debugcon           + =         debugcon
pidfile            + =         - a file of the VMM process
singlestep         .           - how the VMM translates code without hardware support
one-insn-per-tb    .           - how the VMM translates code without hardware support
preconfig          .           - when the VMM builds the machine
S                  .           - whether the VM starts at once
realtime           + .         - locking of the VMM's memory
overcommit         + .         - locking of the VMM's memory
gdb                + =         gdb
s                  .           gdb
d                  + =         - the VMM's own log
D                  + =         - the VMM's own log
dfilter            + =         - the VMM's own log
seed               + =         seed
L                  + =         - where the VMM looks for firmware files that are named elsewhere
enable-kvm         .           accel
enable-hax         .           accel
no-kvm-pit-reinjection .       - how lost timer ticks are made up for
xen-domid          + =         - Xen's own start
xen-attach         .           - Xen's own start
xen-create         .           - Xen's own start
xen-domid-restrict .           - Xen's own start
no-reboot          .           - what the VMM does when the guest resets
no-shutdown        .           - what the VMM does when the guest powers off
action             + .         - what the VMM does when the guest stops
loadvm             + =         state
daemonize          .           - the VMM process
option-rom         + romfile   option-rom
startdate          + =         rtc
localtime          .           rtc
rtc                + .         rtc
rtc-td-hack        .           - how lost timer ticks are made up for
tdf                .           - how lost timer ticks are made up for
icount             + shift     - how the VMM counts time without hardware support
watchdog           + =         watchdog
watchdog-action    + =         - what the VMM does when a watchdog fires
echr               + =         - the VMM's console
virtioconsole      + =         removed
show-perf          .           removed
tb-size            + =         - how the VMM translates code without hardware support
incoming           + =         state
only-migratable    .           - which devices the VMM refuses
nodefaults         .           nodefaults
nodefconfig        .           no-user-config
chroot             + =         - the VMM process
runas              + =         - the VMM process
async-teardown     .           - the VMM process
run-with           + .         - the VMM process
prom-env           + =         prom-env
semihosting        .           semihosting
semihosting-config + =         semihosting
old-param          .           - how old ARM boards pass parameters
sandbox            + enable    - the VMM's own system calls
readconfig         + =         readconfig
writeconfig        + =         - a file that the VMM writes
no-user-config     .           no-user-config
trace              + enable    - the VMM's own log
plugin             + file      - code in the VMM itself, which is the host
qtest              + =         - the VMM's test interface
qtest-log          + =         - the VMM's own log
enable-fips        .           - the VMM process
msg                + .         - the VMM's own log
dump-vmstate       + =         - a file that the VMM writes
enable-sync-profile .          - the VMM's own statistics
perfmap            .           - the VMM's own statistics
jitdump            .           - the VMM's own statistics
object             + qom-type  object
id                 + =         - a number for the tools of Proxmox, whose QEMU has this option
smb                + =         - files of the user network's own server
redir              + =         - ports of the user network
tftp               + =         - files of the user network's own server
bootp              + =         - files of the user network's own server
pcidevice          + =         removed
tpm                + =         removed
"""


def _options() -> dict[str, Option]:
    table = {}
    for line in _TABLE.strip().splitlines():
        name, arity, rest = line.split(maxsplit=2)
        argument = arity == "+"
        key = "="
        if argument:
            key, rest = rest.split(maxsplit=1)
        reader, _, why = rest.partition(" ")
        implied = None if key in ("=", ".") else key
        silent = reader == "-"
        table[name] = Option(
            name, argument, key == "=", implied, "" if silent else reader, why.strip() if silent else ""
        )
    return table


OPTIONS = _options()
"""Every option by name."""

OBJECTS = {
    name: why
    for why, names in {
        "access control of the VMM's own consoles": "authz-list authz-list-file authz-pam authz-simple",
        "a bus between emulated CAN controllers": "can-bus can-host-socketcan",
        "packets between the VMM's own network parts": "colo-compare filter-buffer filter-dump filter-mirror "
        "filter-redirector filter-replay filter-rewriter filter-passthrough",
        "the host's end of a virtio-crypto device": "cryptodev-backend cryptodev-backend-builtin cryptodev-backend-lkcf "
        "cryptodev-vhost-user",
        "migration state of a helper of the VMM": "dbus-vmstate",
        "a thread of the VMM": "iothread main-loop thread-context",
        "the host's end of an assigned device": "iommufd vfio-user-server x-vfio-user-server x-remote-object",
        "where the VMM keeps the guest's memory": "memory-backend-epc memory-backend-file memory-backend-memfd "
        "memory-backend-ram memory-backend-shm",
        "a helper of the VMM for disks": "pr-manager-helper throttle-group",
        "the VMM's test interface": "qtest",
        "the host's end of an entropy device": "rng-builtin rng-egd rng-random",
        "a secret of the VMM itself": "secret secret_keyring",
        "TLS of the VMM's own connections": "tls-cipher-suites tls-creds-anon tls-creds-psk tls-creds-x509",
    }.items()
    for name in names.split()
}
"""Objects (`-object`) that feed the guest nothing by themselves: what uses them does.

SOURCE: QEMU qapi/qom.json, ObjectType.
"""
