"""Pods: what the runtime class tells, what annotations and initdata bring in."""

from __future__ import annotations

import base64
import gzip
import hashlib
from pathlib import Path

import pytest

from hostproof.artefacts.machine import pod, read
from hostproof.artefacts.machine.model import Machine
from hostproof.errors import InputError

CORPUS = Path(__file__).resolve().parents[3] / "corpus"
INITDATA = b'version = "0.1.0"\nalgorithm = "sha256"\n[data]\n"aa.toml" = "x"\n"policy.rego" = "y"\n'


def sample(name: str, companions: dict[str, bytes] | None = None) -> Machine:
    (machine,) = read.read((CORPUS / "pods" / name).read_bytes(), name, companions=companions)
    return machine


def with_initdata(text: str) -> Machine:
    (machine,) = read.read(
        f"""
apiVersion: v1
kind: Pod
metadata:
  name: p
  annotations: {{io.katacontainers.config.hypervisor.cc_init_data: "{text}"}}
spec:
  runtimeClassName: kata-qemu-tdx
  containers: [{{name: c}}]
""".encode(),
        "pod.yaml",
    )
    return machine


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("kata-qemu-snp", ("sev-snp", "x86_64")),
        ("kata-qemu-nvidia-gpu-snp", ("sev-snp", "x86_64")),
        ("kata-qemu-tdx", ("tdx", "x86_64")),
        ("kata-qemu-se", ("s390-pv", "s390x")),
        ("kata-qemu-cca", ("cca", "aarch64")),
        ("kata-qemu-coco-dev", None),
        ("kata", None),
        ("snp-of-somebody-else", None),
    ],
)
def test_a_runtime_class_tells_the_technology(name: str, expected: tuple[str, str] | None) -> None:
    assert expected == pod.runtime_class(name)


def test_a_pod_alone_is_opaque_and_shows_annotations_volumes_and_devices() -> None:
    machine = sample("snp.yaml")

    assert (
        machine.opaque,
        machine.confidential and machine.confidential.technology,
        machine.name,
    ) == (True, "sev-snp", "sample")
    assert [(d.model, d.backend, d.place.line) for d in machine.devices] == [("vfio-pci", "nvidia.com/pgpu", 16)] * 2
    assert [host.channel for host in machine.host_inputs] == ["C03", "", "C44", "C42"]


def test_a_deployment_gives_its_pod_and_a_remote_runtime_decides_later() -> None:
    machine = sample("deployment.yaml")

    assert (machine.name, machine.confidential, len(machine.declared)) == ("web", None, 1)


def test_with_the_runtimes_configuration_the_vm_is_that_of_the_configuration() -> None:
    configuration = (CORPUS / "kata" / "snp.toml").read_bytes()
    machine = sample("snp.yaml", {"configuration.toml": configuration})

    assert (machine.vmm, machine.opaque, machine.format) == ("qemu", False, "k8s-pod")
    assert machine.confidential is not None
    assert machine.confidential.policy == 0xB0000
    assert {"virtio-blk-pci", "vfio-pci"} <= {device.model for device in machine.devices}


def test_initdata_is_decoded_and_its_digest_is_a_launch_field() -> None:
    machine = with_initdata(base64.b64encode(gzip.compress(INITDATA, mtime=0)).decode())

    assert machine.confidential is not None
    assert (("initdata-digest", "sha256:" + hashlib.sha256(INITDATA).hexdigest()),) == machine.confidential.fields
    assert [host.name for host in machine.host_inputs if host.name.startswith("initdata ")] == [
        "initdata aa.toml",
        "initdata policy.rego",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "not base64!",
        base64.b64encode(b"no gzip").decode(),
        base64.b64encode(gzip.compress(b"algorithm = 'md5'\n", mtime=0)).decode(),
        base64.b64encode(gzip.compress(b"= no toml", mtime=0)).decode(),
        base64.b64encode(gzip.compress(INITDATA, mtime=0)[:-9]).decode(),
        base64.b64encode(gzip.compress(b"a" * (1 << 24), mtime=0)).decode(),
    ],
)
def test_initdata_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        with_initdata(text)


@pytest.mark.parametrize(
    "text",
    [
        "apiVersion: v1\nkind: Service\n",
        "apiVersion: v1\nkind: Pod\nspec: {containers: 3}\n",
        "apiVersion: v1\nkind: [Pod]\n",
        "apiVersion: v1\nkind: Pod\nkind: Pod\n",
        "apiVersion: v1\nkind: Pod\nspec: &a {containers: [*a]}\n",
        "apiVersion: v1\nkind: Pod\nspec: {containers: [{resources: {limits: {nvidia.com/gpu: 100000}}}]}\n",
        "apiVersion: v1\nkind: Pod\n? [1, 2]\n: 3\n",
    ],
)
def test_malformed_pods_are_refused_with_a_place(text: str) -> None:
    with pytest.raises(InputError) as caught:
        read.read(text.encode(), "pod.yaml")

    assert caught.value.place is not None
