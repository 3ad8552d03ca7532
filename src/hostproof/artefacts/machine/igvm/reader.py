"""IGVM: the image that a host loads as firmware, the manifests that it is built from.

Three forms: the manifest of OpenHCL (`guest_configs`: one guest per isolation type), a target of Coconut SVSM's build
(`igvm`), and the binary file itself. None of them says which devices the VM will have: they define the launch, and the
launch policy.

SOURCE: microsoft/openvmm `vm/loader/igvmfilegen_config/src/lib.rs` and `vm/loader/igvmfilegen/src/main.rs` (the
policy's debug bit comes from `enable_debug`), commit 1488a37b7cfe; coconut-svsm/svsm `configs/*.json`, commit
f4bc4bcdc2bd; microsoft/igvm `igvm_defs/src/lib.rs`, commit e6c3ff1c34c3 (`TdxPolicy`: bit 0 debug, bit 1 SEPT #VE
disabled, bit 2 migratable).
"""

from __future__ import annotations

from hostproof.artefacts.machine.igvm import binary
from hostproof.artefacts.machine.located import json_places
from hostproof.artefacts.machine.located.node import Node
from hostproof.artefacts.machine.model import Boot, Confidential, HostInput, Machine, Unread
from hostproof.artefacts.policy.bits import SNP_DEBUG, TDX_DEBUG, TDX_MIGRATABLE, TDX_SEPT_VE_DISABLE
from hostproof.errors import InputError
from hostproof.place import Place

__all__ = ["read"]

MAX_GUESTS = 64
ARCHITECTURES = {"x64": "x86_64", "aarch64": "aarch64"}

GUEST = frozenset({"guest_svn", "max_vtl", "isolation_type", "image"})
ISOLATION = frozenset(
    {"shared_gpa_boundary_bits", "policy", "enable_debug", "injection_type", "secure_avic", "sept_ve_disable"}
)
IMAGE = frozenset(
    {
        "command_line",
        "static_command_line",
        "memory_page_base",
        "memory_page_count",
        "uefi",
        "linux",
        "product_policy",
        "config_type",
        "use_initrd",
        "processor_count",
        "c_bit_position",
    }
)


def read(data: bytes, name: str) -> tuple[Machine, ...]:
    """One machine per platform or isolation type of the file. Raises InputError."""
    if data[:4] == binary.MAGIC:
        return _binary(binary.parse(data, name), name)
    root = json_places.read(data, name)
    if root.get("guest_configs") is not None:
        return _manifest(root)
    return _build(root)


def _manifest(root: Node) -> tuple[Machine, ...]:
    guests = root.get("guest_configs")
    if guests is None or not 0 < len(guests.items()) <= MAX_GUESTS:
        raise InputError("guest_configs", place=root.place, expected=f"1 to {MAX_GUESTS} guests")
    word = root.get("guest_arch")
    architecture = ARCHITECTURES.get(word.text()) if word else None
    return tuple(_guest(guest, architecture) for guest in guests.items())


def _guest(guest: Node, architecture: str | None) -> Machine:
    isolation = guest.get("isolation_type")
    if isolation is None:
        raise InputError("a guest without isolation_type", place=guest.place, expected="snp, tdx, vbs or none")
    kind, fields = _variant(isolation)
    image = guest.get("image")
    image_kind, image_fields = _variant(image) if image else ("none", guest)
    linux = image_fields if image_kind == "linux" else image_fields.get("linux") if image_kind != "none" else None
    line = linux.get("command_line") if linux else None
    return Machine(
        format="igvm-manifest",
        vmm="openvmm",
        place=guest.place,
        name=f"{image_kind} {kind}",
        architecture=architecture,
        confidential=_isolation(kind, fields, guest),
        boot=Boot(
            igvm="built from this manifest",
            igvm_place=image.place if image else guest.place,
            command_line=line.text() if line else None,
            command_line_place=line.place if line else None,
        ),
        host_inputs=_image_inputs(image_kind, image_fields),
        unread=_unread(guest, fields, image_fields),
        notes=("an IGVM manifest defines the launch; which devices the VM has is not in it",),
    )


def _variant(node: Node) -> tuple[str, Node]:
    """A Rust enum as JSON: `"none"`, or an object with one field."""
    if isinstance(node.value, str):
        return node.value, Node({}, node.place)
    fields = node.mapping()
    if len(fields) != 1:
        raise node.unexpected("an object with exactly one field")
    return next(iter(fields.items()))


def _isolation(kind: str, fields: Node, guest: Node) -> Confidential | None:
    if kind == "none":
        return None
    technology = {"snp": "sev-snp", "tdx": "tdx", "vbs": "vbs"}.get(kind)
    if technology is None:
        raise InputError(f"isolation type {kind[:40]!r}", place=fields.place, expected="snp, tdx, vbs or none")
    debug = fields.get("enable_debug")
    debug_on = debug is not None and debug.flag()
    policy, place = None, None
    if technology == "sev-snp":
        word = fields.get("policy")
        if word is None:
            raise InputError("an SNP guest without policy", place=fields.place, expected='a field "policy"')
        policy, place = word.number() & ~SNP_DEBUG | SNP_DEBUG * debug_on, word.place
    elif technology == "tdx":
        disable = fields.get("sept_ve_disable")
        policy = TDX_DEBUG * debug_on | TDX_SEPT_VE_DISABLE * (disable is not None and disable.flag())
        place = fields.place
    shown = [(key, node.text()) for key, node in fields.mapping().items() if not isinstance(node.value, dict | list)]
    shown.extend((key, node.text()) for key in ("guest_svn", "max_vtl") if (node := guest.get(key)) is not None)
    paravisor = guest.get("image")
    line = paravisor.get("openhcl", "command_line") if paravisor and isinstance(paravisor.value, dict) else None
    if line is not None:
        shown.append(("paravisor-command-line", line.text()))
    return Confidential(
        technology=technology,
        place=fields.place,
        policy=policy,
        policy_place=place,
        policy_origin="definition" if policy is not None else "",
        fields=tuple(shown),
    )


def _image_inputs(kind: str, fields: Node) -> tuple[HostInput, ...]:
    if kind != "openhcl":
        return ()
    static = fields.get("static_command_line")
    if static is not None and static.flag():
        return ()
    meaning = "the host may add parameters to the paravisor's kernel command line at run time"
    return (HostInput("openhcl.command_line", meaning, "C03", fields.place),)


def _unread(guest: Node, isolation: Node, image: Node) -> tuple[Unread, ...]:
    sections = ((guest, GUEST), (isolation, ISOLATION), (image, IMAGE | GUEST))
    return tuple(
        Unread(node.place.path or key, "a field that this reader does not know", node.place)
        for section, known in sections
        if isinstance(section.value, dict)
        for key, node in section.value.items()
        if key not in known
    )


def _build(root: Node) -> tuple[Machine, ...]:
    targets = root.get("igvm")
    machines: list[Machine] = []
    for vmm, target in (targets.mapping() if targets else {}).items():
        platforms = target.get("platforms")
        words = platforms.items() if platforms else []
        if len(words) > MAX_GUESTS:
            raise target.unexpected(f"at most {MAX_GUESTS} platforms")
        machines.extend(_target(root, vmm, target, word) for word in words)
    if not machines:
        raise InputError(
            "no IGVM target with platforms", place=root.place, expected='{"igvm": {"qemu": {"platforms": [..]}}}'
        )
    return tuple(machines)


def _target(root: Node, vmm: str, target: Node, word: Node) -> Machine:
    """A platform of a Coconut target: `snp`, `tdp` (TDX with partitioning), `vsm`, `native`."""
    technology = {"snp": "sev-snp", "tdp": "tdx", "vsm": "vbs"}.get(word.text())
    output, policy = target.get("output"), target.get("policy")
    snp = technology == "sev-snp" and policy is not None
    features = root.get("kernel", "svsm", "features")
    return Machine(
        format="igvm-build",
        vmm=vmm,
        place=target.place,
        name=f"svsm {word.text()}",
        architecture="x86_64",
        confidential=Confidential(
            technology=technology,
            place=word.place,
            policy=policy.number() if policy is not None and snp else None,
            policy_place=policy.place if policy is not None and snp else None,
            policy_origin="definition" if snp else "",
            fields=(("paravisor", "coconut-svsm"), *((("features", features.text()),) if features else ())),
        )
        if technology
        else None,
        boot=Boot(igvm=output.text() if output else None, igvm_place=output.place if output else None),
        notes=("a build target of Coconut SVSM defines the launch; which devices the VM has is not in it",),
    )


def _binary(image: binary.Image, name: str) -> tuple[Machine, ...]:
    if not image.platforms:
        raise InputError(
            "an IGVM file without a supported platform", place=Place(name), expected="one header of type 0x1"
        )
    if len(image.platforms) > MAX_GUESTS:
        raise InputError("too many platforms", place=Place(name), expected=f"at most {MAX_GUESTS}")
    inputs = tuple(
        HostInput(
            f"igvm parameter {header.type:#x}",
            f"the loader fills in {binary.PARAMETERS[header.type][0]}",
            binary.PARAMETERS[header.type][1],
            header.place,
        )
        for header in image.parameters[:1000]
    )
    return tuple(_platform(platform, image, inputs, name) for platform in image.platforms)


def _platform(platform: binary.Platform, image: binary.Image, inputs: tuple[HostInput, ...], name: str) -> Machine:
    policy = platform.policy
    if platform.name == "tdx" and policy is not None:
        policy = (
            TDX_DEBUG * bool(policy & 1) | TDX_SEPT_VE_DISABLE * bool(policy & 2) | TDX_MIGRATABLE * bool(policy & 4)
        )
    known = platform.name in ("sev-snp", "tdx", "sev", "sev-es", "cca", "vbs")
    fields = (
        ("highest-vtl", str(platform.highest_vtl)),
        ("shared-gpa-boundary", hex(platform.shared_gpa_boundary)),
        ("id-block", "yes" if platform.id_block else "no"),
    )
    notes = [
        f"{platform.pages} pages, {platform.unmeasured_pages} not measured, {platform.shared_pages} shared with the host",
        "an IGVM file defines the launch; which devices the VM has is not in it",
    ]
    if not image.checksum_right:
        notes.append("the checksum over the headers is wrong: a loader would refuse this file")
    return Machine(
        format="igvm",
        vmm="",
        place=platform.place,
        name=platform.name,
        architecture="aarch64" if platform.name == "cca" else "x86_64" if known and platform.name != "vbs" else None,
        confidential=Confidential(
            technology=platform.name,
            place=platform.place,
            policy=policy,
            policy_place=platform.policy_place,
            policy_origin="definition" if policy is not None else "",
            fields=fields,
        )
        if known
        else None,
        boot=Boot(igvm=name, igvm_place=Place(name)),
        host_inputs=inputs,
        notes=tuple(notes),
    )
