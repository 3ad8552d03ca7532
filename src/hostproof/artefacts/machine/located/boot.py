"""What a definition boots, from the fields that name it."""

from __future__ import annotations

from hostproof.artefacts.machine.located.node import Node
from hostproof.artefacts.machine.model import Boot
from hostproof.place import Place

__all__ = ["boot"]


def boot(
    *,
    firmware: Node | None = None,
    kernel: Node | None = None,
    initrd: Node | None = None,
    command_line: Node | None = None,
    igvm: Node | None = None,
) -> Boot:
    """Each field's text with its place; a field that is not there boots nothing. Raises InputError for no text."""

    def given(node: Node | None) -> tuple[str | None, Place | None]:
        return (node.text(), node.place) if node is not None else (None, None)

    (firmware_text, firmware_place), (kernel_text, kernel_place) = given(firmware), given(kernel)
    (initrd_text, initrd_place), (line, line_place), (igvm_text, igvm_place) = map(given, (initrd, command_line, igvm))
    return Boot(
        firmware=firmware_text,
        firmware_place=firmware_place,
        kernel=kernel_text,
        kernel_place=kernel_place,
        initrd=initrd_text,
        initrd_place=initrd_place,
        command_line=line,
        command_line_place=line_place,
        igvm=igvm_text,
        igvm_place=igvm_place,
    )
