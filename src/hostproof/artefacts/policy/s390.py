"""IBM Secure Execution control flags: the two 64-bit words of the image header

The header is part of the boot image and sealed with it; neither libvirt's `s390-pv` nor QEMU's `s390-pv-guest` carries
a policy, so a VM definition never shows these words. They decode what a tool that reads the image header finds.
Bits are numbered from the most significant one in IBM's text; `bit` here counts from the least significant one.

| IBM bit | word | name |
|---|---|---|
| 34 | plaintext | ALLOW_DUMPING |
| 35 | plaintext | NO_COMPONENT_ENCRYPTION |
| 56 / 57 / 58 / 59 | plaintext | PCKMO_DEA_TDEA / PCKMO_AES / PCKMO_ECC / PCKMO_HMAC |
| 62 | plaintext | BACKUP_TARGET_KEYS |
| 1 | secret | CCK_EXTENSION_SECRET_ENFORCEMENT |
| 2 | secret | CCK_UPDATE_ALLOWED |

Source: s390-tools `rust/pvimg/src/pv_utils/se_hdr/flags.rs` (commit 1d2a89b3876c), enums `PcfV1` and `ScfV1`. That a dump
is encrypted under a key of the image's owner: Linux `Documentation/virt/kvm/s390/s390-pv-dump.rst`.
"""

from __future__ import annotations

from hostproof.artefacts.policy.model import BitDefinition, Policy, read_bits

__all__ = ["PLAINTEXT_FLAGS", "SECRET_FLAGS", "decode_s390", "decode_s390_secret"]

SOURCE = "s390-tools rust/pvimg/src/pv_utils/se_hdr/flags.rs {}"


def _flag(ibm: int, name: str, when_set: str, when_clear: str, where: str, *, phrase: str = "") -> BitDefinition:
    return BitDefinition(name, 63 - ibm, when_set, when_clear, SOURCE.format(where), set_phrase=phrase)


def _pckmo(ibm: int, name: str, what: str) -> BitDefinition:
    return _flag(
        ibm, f"PCKMO_{name}", f"The guest may wrap {what} keys with PCKMO.", f"PCKMO refuses {what} keys.", "PcfV1"
    )


PLAINTEXT_FLAGS = (
    _flag(
        34,
        "ALLOW_DUMPING",
        "The host may take a dump, encrypted under a key of the image's owner.",
        "The ultravisor refuses to dump this guest.",
        "PcfV1",
        phrase="encrypted dump allowed (IBM bit 34)",
    ),
    _flag(
        35,
        "NO_COMPONENT_ENCRYPTION",
        "Kernel, command line and initrd lie unencrypted in the image; they are still checked.",
        "Kernel, command line and initrd are encrypted in the image.",
        "PcfV1",
        phrase="components NOT encrypted (IBM bit 35)",
    ),
    _pckmo(56, "DEA_TDEA", "DEA and TDEA"),
    _pckmo(57, "AES", "AES"),
    _pckmo(58, "ECC", "elliptic-curve"),
    _pckmo(59, "HMAC", "HMAC"),
    _flag(
        62,
        "BACKUP_TARGET_KEYS",
        "Backup target keys of the machine may be used.",
        "Backup target keys of the machine are not used.",
        "PcfV1",
        phrase="backup target keys (IBM bit 62)",
    ),
)
SECRET_FLAGS = (
    _flag(
        1,
        "CCK_EXTENSION_SECRET_ENFORCEMENT",
        "A request to add a secret must carry an extension secret.",
        "A request to add a secret needs no extension secret.",
        "ScfV1",
        phrase="extension secret enforced (IBM bit 1)",
    ),
    _flag(
        2,
        "CCK_UPDATE_ALLOWED",
        "The customer communication key may be changed later.",
        "The customer communication key is fixed.",
        "ScfV1",
        phrase="key update allowed (IBM bit 2)",
    ),
)


def decode_s390(flags: int) -> Policy:
    """The plaintext control flags. `debug_allowed` is False: no flag gives the host plaintext, a dump is encrypted."""
    return read_bits("s390-pv", "SE plaintext control flags", flags, PLAINTEXT_FLAGS, word=64, debug=False)


def decode_s390_secret(flags: int) -> Policy:
    """The secret control flags, which lie encrypted in the header: only the image's owner can give them."""
    return read_bits("s390-pv", "SE secret control flags", flags, SECRET_FLAGS, word=64, debug=None)
