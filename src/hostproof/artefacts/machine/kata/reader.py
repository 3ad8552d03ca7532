"""Kata Containers: `configuration*.toml`, also as the template (`.toml.in`) that the project ships.

Such a file is not the definition of one VM: it is what the runtime makes every pod's VM of. The section
`[hypervisor.NAME]` says which VMM; the runtime adds devices and kernel parameters of its own (`devices`, `command_line`), and
`enable_annotations` says what a pod may change (`annotations`).

`confidential_guest` names no technology: on x86-64 the runtime asks the *host* which one it has. The technology is
told here by what only one of them takes (`sev_snp_guest`, the quote service's port of TDX, the s390 board without a
root image); without such a sign the machine only *declares* that it is confidential.

SOURCE: kata-containers commit 7c6ba40c54ea, `src/runtime/pkg/katautils/config.go` (the fields),
`virtcontainers/hypervisor.go`, `virtcontainers/qemu_amd64.go` (enableProtection), `pkg/govmm/qemu/qemu.go` (the QEMU
objects), `src/runtime/Makefile` (what fills a placeholder).
"""

from __future__ import annotations

from hostproof.artefacts.machine import cloud_hypervisor, firecracker
from hostproof.artefacts.machine.board import board_devices
from hostproof.artefacts.machine.kata import devices as kata_devices
from hostproof.artefacts.machine.kata.annotations import allowed
from hostproof.artefacts.machine.kata.command_line import command_line
from hostproof.artefacts.machine.kata.devices import flag, word
from hostproof.artefacts.machine.kata.fields import AGENT, FACTORY, FILLED, HYPERVISOR, RUNTIME
from hostproof.artefacts.machine.located import placeholders, toml_places
from hostproof.artefacts.machine.located.node import Node, decode_text
from hostproof.artefacts.machine.model import Boot, Confidential, Device, HostInput, Machine, Unread
from hostproof.artefacts.policy.bits import QEMU_SNP_POLICY, QEMU_TDX_ATTRIBUTES
from hostproof.errors import InputError
from hostproof.place import Place

__all__ = ["read"]

VMMS = {
    "qemu": "qemu",
    "clh": "cloud-hypervisor",
    "cloud-hypervisor": "cloud-hypervisor",
    "firecracker": "firecracker",
    "remote": "provider",
    "stratovirt": "stratovirt",
    "dragonball": "dragonball",
}


def read(data: bytes, name: str) -> tuple[Machine, ...]:
    """One machine for every hypervisor section of the file. Raises InputError where there is none."""
    text = decode_text(data, name)
    root = toml_places.read(data, name)
    hypervisors = root.get("hypervisor")
    if hypervisors is None or not hypervisors.mapping():
        raise InputError("no hypervisor section", place=Place(name), expected="a section [hypervisor.qemu] or its like")
    return tuple(_Kata(root, key, section, text).machine() for key, section in hypervisors.mapping().items())


class _Kata:
    """Reads one hypervisor section with what the rest of the file says about it."""

    def __init__(self, root: Node, key: str, section: Node, text: str) -> None:
        self.root = root
        self.key = key
        self.hypervisor = section
        self.vmm = VMMS.get(key, key)
        self.notes = list(placeholders.note(text))
        self.unread: list[Unread] = []
        self.confidential = flag(section, "confidential_guest")
        self.technology = self._technology() if self.confidential else None
        self.architecture = self._architecture()

    def machine(self) -> Machine:
        devices, board = self._devices()
        return Machine(
            format="kata-toml",
            vmm=self.vmm,
            place=self.hypervisor.place,
            name=f"kata {self.key}",
            architecture=self.architecture,
            board=board,
            vcpus=self._number("default_vcpus"),
            cpu_model=self._cpu_model(),
            memory_mib=self._number("default_memory"),
            confidential=self._confidential(),
            declared=self._declared(),
            boot=self._boot(),
            devices=devices,
            host_inputs=self._host_inputs(),
            unread=(*self.unread, *self._unread()),
            opaque=self.vmm == "provider",
            notes=tuple(self.notes),
        )

    def _place(self, key: str) -> Place:
        node = self.hypervisor.get(key)
        return node.place if node else self.hypervisor.place

    def _number(self, key: str) -> int | None:
        node = self.hypervisor.get(key)
        if node is None or node.placeholder is not None:
            return None
        number = int(node.value) if isinstance(node.value, float) else node.number()
        return number if number > 0 else None

    def _filled(self, key: str, default: str = "") -> str:
        """The value of a setting; for a placeholder that Kata's own build fills, what it fills in, with a note."""
        node = self.hypervisor.get(key)
        if node is None:
            return default
        if node.placeholder is None:
            return node.text() or default
        known = FILLED.get(node.placeholder.strip("@"))
        if known is None:
            self.unread.append(Unread(f"{key} = {node.placeholder}", "a placeholder, filled at build time", node.place))
            return default
        self.notes.append(f"{key} = {node.placeholder} is taken as {known!r}, which Kata's own build fills in")
        return known

    def _technology(self) -> str | None:
        section = self.hypervisor
        if flag(section, "sev_snp_guest"):
            return "sev-snp"
        if section.get("tdx_quote_generation_service_socket_port") is not None or self.vmm == "cloud-hypervisor":
            return "tdx"
        if word(section, "machine_type") == "s390-ccw-virtio":
            return "s390-pv"
        if self.vmm == "qemu" and section.get("image") is None and section.get("initrd") is None:
            self.notes.append(
                "s390 Secure Execution: only there may a confidential guest have neither image nor initrd"
            )
            return "s390-pv"
        return None

    def _architecture(self) -> str | None:
        if self.technology in ("sev-snp", "tdx"):
            return "x86_64"
        if self.technology == "s390-pv" or word(self.hypervisor, "machine_type") == "s390-ccw-virtio":
            return "s390x"
        boards = {"q35": "x86_64", "microvm": "x86_64", "virt": "aarch64"}
        return boards.get(word(self.hypervisor, "machine_type"))

    def _declared(self) -> tuple[tuple[str, Place], ...]:
        if self.confidential and self.technology is None:
            return (("confidential_guest = true", self._place("confidential_guest")),)
        return ()

    def _confidential(self) -> Confidential | None:
        if self.technology is None:
            return None
        if self.technology == "sev-snp":
            return self._snp()
        fields: list[tuple[str, str]] = []
        policy, origin = None, ""
        if self.technology == "tdx":
            policy, origin = QEMU_TDX_ATTRIBUTES, "the default of QEMU's tdx-guest object; Kata sets no attributes"
            port = self.hypervisor.get("tdx_quote_generation_service_socket_port")
            if port is not None:
                fields.append(("quote-generation-service-port", port.text()))
            fields.append(("mrconfigid", "the digest of the pod's initdata, where it has one"))
        if self.vmm != "qemu":
            policy, origin = None, ""
        return Confidential(
            technology=self.technology,
            place=self._place("confidential_guest"),
            policy=policy,
            policy_origin=origin,
            fields=tuple(fields),
        )

    def _snp(self) -> Confidential:
        section = self.hypervisor
        fields = [("kernel-hashes", "on"), ("host-data", "the digest of the pod's initdata, where it has one")]
        for key, field in (("snp_id_block", "id-block"), ("snp_id_auth", "id-auth")):
            if word(section, key):
                fields.append((field, word(section, key)))
        policy = section.get("snp_guest_policy")
        if policy is not None and policy.placeholder is None:
            return Confidential(
                "sev-snp", self._place("sev_snp_guest"), policy.number(), policy.place, "definition", tuple(fields)
            )
        origin = "the default of QEMU's sev-snp-guest object"
        return Confidential("sev-snp", self._place("sev_snp_guest"), QEMU_SNP_POLICY, None, origin, tuple(fields))

    def _cpu_model(self) -> str | None:
        if self.vmm != "qemu":
            return None
        model = "EPYC-v4" if self.technology == "sev-snp" else "host"
        features = word(self.hypervisor, "cpu_features")
        return f"{model},{features}" if features else model

    def _boot(self) -> Boot:
        def given(key: str) -> tuple[str | None, Place | None]:
            node = self.hypervisor.get(key)
            return (node.text(), node.place) if node is not None and node.text() else (None, None)

        firmware, firmware_place = given("firmware")
        kernel, kernel_place = given("kernel")
        initrd, initrd_place = given("initrd")
        parameters = self.hypervisor.get("kernel_params")
        return Boot(
            firmware=firmware,
            firmware_place=firmware_place,
            firmware_variables=word(self.hypervisor, "firmware_volume") or None,
            kernel=kernel,
            kernel_place=kernel_place,
            initrd=initrd,
            initrd_place=initrd_place,
            command_line=self._command_line(parameters),
            command_line_place=parameters.place if parameters else None,
            kernel_hashes=True if self.technology == "sev-snp" else None,
        )

    def _command_line(self, parameters: Node | None) -> str | None:
        """The command line as the runtime writes it; None where a placeholder leaves it open."""
        text = parameters.text() if parameters else ""
        if placeholders.find(text):
            self.notes.append(f"kernel_params = {text}: the guest's command line is not known")
            return None
        if self.vmm == "provider":
            return None
        self.notes.append(
            "the command line holds what the runtime adds to kernel_params, without root device, nr_cpus, systemd and agent"
        )
        return command_line(
            self.hypervisor, text, vmm=self.vmm, architecture=self.architecture, confidential=self.confidential
        )

    def _network(self) -> bool:
        """Whether the VM gets a network device: the runtime adds one per endpoint of the pod's network name space."""
        runtime = self.root.get("runtime")
        if runtime is None:
            return True
        return word(runtime, "internetworking_model") != "none" and not flag(runtime, "disable_new_netns")

    def _devices(self) -> tuple[tuple[Device, ...], str | None]:
        if self.vmm == "provider":
            self.notes.append("the VM is created by a service behind a socket: its VMM and devices cannot be seen here")
            return (), None
        shared = self._filled("shared_fs", "virtio-fs")
        if shared not in (*kata_devices.SHARED_FS_MODELS, "none"):
            why = "no kind of shared file system that Kata has"
            self.unread.append(Unread(f"shared_fs = {shared}", why, self._place("shared_fs")))
        if self.vmm == "cloud-hypervisor":
            own = kata_devices.clh_devices(
                self.hypervisor, confidential=self.confidential, shared_fs=shared, network=self._network()
            )
            return (*own, *cloud_hypervisor.board(self.hypervisor.place)), None
        if self.vmm == "firecracker":
            return (
                *kata_devices.firecracker_devices(self.hypervisor, network=self._network()),
                *firecracker.board(self.hypervisor.place, self.architecture or "x86_64"),
            ), None
        if self.vmm != "qemu":
            why = f"devices of the VMM {self.vmm} are not listed by this reader"
            self.unread.append(Unread(f"hypervisor.{self.key}", why, self.hypervisor.place))
            return (), None
        return self._qemu_devices(shared)

    def _qemu_devices(self, shared: str) -> tuple[tuple[Device, ...], str]:
        board = "s390-ccw-virtio" if self.architecture == "s390x" else self._filled("machine_type", "q35")
        architecture = self.architecture or ("aarch64" if board == "virt" else "x86_64")
        self.architecture = architecture
        own = kata_devices.qemu_devices(
            self.hypervisor,
            confidential=self.confidential,
            architecture=architecture,
            shared_fs=shared,
            block_driver=self._filled("block_device_driver", "virtio-scsi"),
            network=self._network(),
        )
        found = board_devices(
            board, architecture=architecture, defaults=False, switches={}, place=self._place("machine_type")
        )
        self.notes.extend(found.notes)
        return (*own, *found.devices), found.machine

    def _host_inputs(self) -> tuple[HostInput, ...]:
        inputs: list[HostInput] = []
        annotations = self.hypervisor.get("enable_annotations")
        if annotations is not None and annotations.placeholder is None:
            inputs.extend(allowed(annotations))
        elif annotations is not None:
            names = self._filled("enable_annotations").split()
            inputs.extend(allowed(Node([Node(item, annotations.place) for item in names], annotations.place)))
        inputs.extend(self._switches())
        return tuple(inputs)

    def _switches(self) -> list[HostInput]:
        inputs: list[HostInput] = []
        hooks = self.hypervisor.get("guest_hook_path")
        if hooks is not None and hooks.text():
            meaning = "programs in this directory of the guest are run around containers"
            inputs.append(HostInput("guest_hook_path", meaning, "C02", hooks.place, hooks.text()))
        verity = self.hypervisor.get("kernel_verity_params")
        if verity is not None and verity.text():
            meaning = "the dm-verity root hash that the command line gives for the root image"
            inputs.append(HostInput("kernel_verity_params", meaning, "C42", verity.place, verity.text()))
        for key in ("hot_plug_vfio", "cold_plug_vfio"):
            port = self._filled(key, "no-port")
            if port != "no-port":
                meaning = f"devices of the host that a pod asks for are plugged at a {port}"
                channel = "C29" if key == "hot_plug_vfio" else "C38"
                inputs.append(HostInput(key, meaning, channel, self._place(key), port))
        for agent in self._agents():
            for key, meaning in (
                ("debug_console_enabled", "a root shell in the guest, reached from the host over vsock"),
                ("enable_debug", "the agent logs to the host in detail"),
            ):
                node = agent.get(key)
                if node is not None and node.placeholder is None and node.flag():
                    channel = "C34" if key == "debug_console_enabled" else "C40"
                    inputs.append(HostInput(f"agent.{key}", meaning, channel, node.place, "true"))
            modules = agent.get("kernel_modules")
            for module in modules.items() if modules else []:
                meaning = "the agent loads this module of the guest, with these parameters"
                inputs.append(HostInput("agent.kernel_modules", meaning, "C02", module.place, module.text()))
        factory = self.root.get("factory")
        if factory is not None and flag(factory, "enable_template"):
            node = factory.get("enable_template")
            place = node.place if node else factory.place
            inputs.append(
                HostInput("factory.enable_template", "VMs start from a snapshot of memory", "C30", place, "true")
            )
        return inputs

    def _agents(self) -> list[Node]:
        agents = self.root.get("agent")
        return [node for node in agents.mapping().values() if isinstance(node.value, dict)] if agents else []

    def _unread(self) -> list[Unread]:
        """Settings that the runtime's own reader does not know either, or that are new to this one."""
        sections = [(self.hypervisor, HYPERVISOR), *((agent, AGENT) for agent in self._agents())]
        for key, known in (("runtime", RUNTIME), ("factory", FACTORY)):
            section = self.root.get(key)
            if section is not None:
                sections.append((section, known))
        unread = [
            Unread(node.place.path or key, "a setting that this reader does not know", node.place)
            for section, known in sections
            for key, node in section.mapping().items()
            if key not in known
        ]
        for key, node in self.root.mapping().items():
            if key not in ("hypervisor", "agent", "runtime", "factory"):
                unread.append(Unread(key, "a section that this reader does not know", node.place))
        return unread
