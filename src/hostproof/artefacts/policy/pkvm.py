"""pKVM: the one flag of a protected VM

A VM under pKVM has no policy word. The VM type that user space passes to KVM_CREATE_VM says whether the VM is
protected (`KVM_VM_TYPE_ARM_PROTECTED`, bit 31), and the Android Virtualization Framework writes that choice as
`protectedVm` of its configuration. Debugging is decided elsewhere: by the debug level that pvmfw puts into the DICE chain.

Source: Android common kernel and Linux `include/uapi/linux/kvm.h`, `KVM_VM_TYPE_ARM_PROTECTED`; AOSP
`packages/modules/Virtualization`, `VirtualMachineRawConfig.protectedVm`.
"""

from __future__ import annotations

from dataclasses import replace

from hostproof.artefacts.policy.model import BitDefinition, Policy, read_bits

__all__ = ["DEFINITIONS", "decode_pkvm"]

VM_TYPE_PROTECTED = 1 << 31
VM_TYPE_IPA_SIZE = 0xFF

DEFINITIONS = (
    BitDefinition(
        "protected",
        0,
        "The hypervisor takes the VM's memory away from the host.",
        "This is an ordinary VM: the host reads and writes all of its memory.",
        "Linux include/uapi/linux/kvm.h KVM_VM_TYPE_ARM_PROTECTED; AVF protectedVm",
        set_phrase="protected",
        clear_phrase="NOT protected",
    ),
)


def decode_pkvm(policy: int, technology: str = "pkvm-arm64") -> Policy:
    """`policy` is 1 or 0 as AVF writes it, or a KVM VM type whose bit 31 says the same. Debugging is not decided here."""
    word = policy
    if policy & VM_TYPE_PROTECTED and policy >= 0:
        word = policy & ~(VM_TYPE_PROTECTED | VM_TYPE_IPA_SIZE) | 1
    problems = [] if word & 1 else ["the VM is not protected, so nothing of it is confidential"]
    decoded = read_bits(technology, "pKVM flags", word, DEFINITIONS, word=32, debug=None, problems=problems)
    return replace(decoded, value=policy)
