"""Pods of Kubernetes that run in a VM (Kata, Confidential Containers).

A pod says little about its VM: the runtime class names the configuration by which the runtime makes it, annotations
change that (`kata.annotations`), and resources may ask for devices of the host. With the runtime's configuration given
beside the pod, the VM is that of the configuration, with the pod's own inputs added; without it, VMM and devices stay
unseen.

SOURCE: kata-containers commit 7c6ba40c54ea, `tools/packaging/helm-chart/kata-deploy/` (names of the runtime classes),
`src/runtime/virtcontainers/pkg/annotations/annotations.go`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from hostproof.artefacts.machine import kata
from hostproof.artefacts.machine.device_models import device
from hostproof.artefacts.machine.kata import annotations as kata_annotations
from hostproof.artefacts.machine.located import json_places, placeholders, yaml_places
from hostproof.artefacts.machine.located.node import Node, decode_text
from hostproof.artefacts.machine.model import Confidential, Device, HostInput, Machine, Origin, Unread
from hostproof.artefacts.machine.pod import initdata as pod_initdata
from hostproof.errors import InputError
from hostproof.place import Place

__all__ = ["read", "runtime_class"]

MAX_ITEMS = 512
CLASSES = (
    ("snp", "sev-snp", "x86_64"),
    ("tdx", "tdx", "x86_64"),
    ("se", "s390-pv", "s390x"),
    ("cca", "cca", "aarch64"),
    ("sev", "sev", "x86_64"),
)
"""A part of a runtime class's name between hyphens, the technology, the architecture."""
PREFIXES = ("io.katacontainers.config.agent.", "io.katacontainers.config.runtime.")
GPU_RESOURCES = ("nvidia.com/", "amd.com/gpu", "intel.com/")


def read(data: bytes, name: str, *, companions: Mapping[str, bytes] | None = None) -> tuple[Machine, ...]:
    """One machine for every pod (or pod template). A Kata configuration among `companions` gives VMM and devices."""
    text = decode_text(data, name)
    found = (json_places.read(data, name),) if text.lstrip().startswith("{") else yaml_places.documents(data, name)
    base = _configuration(companions or {})
    machines = [_Pod(spec, metadata, base, text).machine() for spec, metadata in _pods(found)]
    if not machines:
        raise InputError("no pod in the file", place=Place(name), expected="a Pod, Deployment, Job or its like")
    return tuple(machines)


def runtime_class(word: str) -> tuple[str, str] | None:
    """Technology and architecture that a runtime class's name tells (`kata-qemu-snp`), None where it tells none."""
    if not word.startswith("kata"):
        return None
    parts = word.split("-")
    return next(((technology, machine) for part, technology, machine in CLASSES if part in parts), None)


def _configuration(companions: Mapping[str, bytes]) -> Machine | None:
    from hostproof.artefacts.machine import detect

    for name, data in companions.items():
        if detect.kind(data, name) == "kata-toml":
            return kata.read(data, name)[0]
    return None


def _pods(documents: tuple[Node, ...]) -> list[tuple[Node, Node]]:
    """Specification and metadata of each pod; templates of Deployments, Jobs and CronJobs included, and items of a
    List.
    """
    pods: list[tuple[Node, Node]] = []
    queue = list(documents)
    while queue and len(pods) < MAX_ITEMS:
        node = queue.pop(0)
        kind = node.get("kind")
        word = kind.text() if kind else ""
        if word == "List":
            items = node.get("items")
            queue.extend(items.items()[:MAX_ITEMS] if items else [])
            continue
        template = node
        if word == "CronJob":
            template = node.get("spec", "jobTemplate") or node
        if word != "Pod":
            template = template.get("spec", "template") or template
        spec = template.get("spec")
        if spec is not None and isinstance(spec.value, dict) and spec.get("containers") is not None:
            metadata = template.get("metadata") or node.get("metadata") or spec
            pods.append((spec, metadata if metadata.get("name") or node is template else _named(metadata, node)))
    return pods


def _named(metadata: Node, owner: Node) -> Node:
    """The metadata of a template, with the name of the object that it belongs to."""
    name = owner.get("metadata", "name")
    return Node({**metadata.mapping(), "name": name}, metadata.place) if name is not None else metadata


class _Pod:
    def __init__(self, spec: Node, metadata: Node, base: Machine | None, text: str) -> None:
        self.spec = spec
        self.metadata = metadata
        self.base = base
        self.notes = list(placeholders.note(text))
        self.inputs: list[HostInput] = []
        self.unread: list[Unread] = []
        self.fields: list[tuple[str, str]] = []

    def machine(self) -> Machine:
        label = self.metadata.get("name")
        devices = self._host_devices()
        self._annotations()
        self._volumes()
        confidential, declared, architecture = self._technology()
        name = label.text() if label and self.metadata is not self.spec else "pod"
        if self.base is not None:
            self.notes.extend(self.base.notes)
            return replace(
                self.base,
                format="k8s-pod",
                place=self.spec.place,
                name=name,
                devices=(*self.base.devices, *devices),
                host_inputs=(*self.base.host_inputs, *self.inputs),
                unread=(*self.base.unread, *self.unread),
                confidential=self.base.confidential or confidential,
                declared=(*self.base.declared, *declared),
                notes=tuple(self.notes),
            )
        self.notes.append(
            "a pod does not say which VMM it runs in, nor its devices: give the runtime's configuration beside it"
        )
        return Machine(
            format="k8s-pod",
            vmm="provider",
            place=self.spec.place,
            name=name,
            architecture=architecture,
            confidential=confidential,
            declared=declared,
            devices=devices,
            host_inputs=tuple(self.inputs),
            unread=tuple(self.unread),
            opaque=True,
            notes=tuple(self.notes),
        )

    def _technology(self) -> tuple[Confidential | None, tuple[tuple[str, Place], ...], str | None]:
        node = self.spec.get("runtimeClassName")
        if node is None:
            self.notes.append("no runtimeClassName: the cluster's default runtime is used, which may be no VM at all")
            return None, (), None
        word = node.text()
        if node.placeholder is not None:
            self.unread.append(Unread(f"runtimeClassName = {word}", "a placeholder, filled at deployment", node.place))
            return None, (), None
        found = runtime_class(word)
        if found is not None:
            return Confidential(found[0], node.place, fields=tuple(self.fields)), (), found[1]
        if "remote" in word.split("-") or any(field == "initdata-digest" for field, _ in self.fields):
            return None, ((f"runtimeClassName {word}: the runtime decides on the technology", node.place),), None
        self.notes.append(f"the runtime class {word!r} names no technology")
        return None, (), None

    def _annotations(self) -> None:
        annotations = self.metadata.get("annotations") if self.metadata is not self.spec else None
        for key, node in (annotations.mapping() if annotations else {}).items():
            if key.startswith(kata_annotations.PREFIX):
                short = key.removeprefix(kata_annotations.PREFIX)
                meaning, channel = kata_annotations.meaning_of(short)
                self.inputs.append(HostInput(key, f"the pod sets {meaning}", channel, node.place, node.text()[:2000]))
                if short == "cc_init_data" and node.placeholder is None:
                    self._initdata(node)
            elif key.startswith(PREFIXES):
                meaning = "the pod changes a setting of the agent or the runtime"
                self.inputs.append(HostInput(key, meaning, "", node.place, node.text()[:2000]))

    def _initdata(self, node: Node) -> None:
        initdata = pod_initdata.decode(node.text(), node.place)
        self.fields.append(("initdata-digest", f"{initdata.algorithm}:{initdata.digest}"))
        for name in initdata.names[:MAX_ITEMS]:
            meaning = "a file of initdata that the guest is configured by"
            self.inputs.append(HostInput(f"initdata {name}", meaning, "C10", node.place, name))

    def _volumes(self) -> None:
        volumes = self.spec.get("volumes")
        for volume in (volumes.items() if volumes else [])[:MAX_ITEMS]:
            kind = next((key for key in volume.mapping() if key != "name"), "emptyDir")
            label = volume.get("name")
            channel = "C42" if kind in ("persistentVolumeClaim", "ephemeral", "csi") else "C44"
            meaning = f"a volume ({kind}) whose contents the host provides"
            self.inputs.append(
                HostInput(f"volume {label.text() if label else kind}", meaning, channel, volume.place, kind)
            )

    def _host_devices(self) -> tuple[Device, ...]:
        devices: list[Device] = []
        for group in ("initContainers", "containers"):
            containers = self.spec.get(group)
            for container in (containers.items() if containers else [])[:MAX_ITEMS]:
                limits = container.get("resources", "limits")
                for key, node in (limits.mapping() if limits else {}).items():
                    if key.startswith(GPU_RESOURCES):
                        devices.extend(self._assigned(key, node))
        return tuple(devices)

    def _assigned(self, resource: str, node: Node) -> list[Device]:
        count = 1 if node.placeholder else node.number()
        if not 0 <= count <= 64:
            raise node.unexpected("a number of devices from 0 to 64")
        return [device("vfio-pci", origin=Origin.DEFINITION, place=node.place, backend=resource) for _ in range(count)]
