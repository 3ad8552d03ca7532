"""Placeholders of templates."""

from __future__ import annotations

import pytest

from hostproof.artefacts.machine.located import placeholders


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("@KERNEL@", "@KERNEL@"),
        (" ${NAME} ", "${NAME}"),
        ("{{ .Values.x }}", "{{ .Values.x }}"),
        ("/path/@KERNEL@", None),
        ("user@example.org@", None),
        ("@a b@", None),
        ("", None),
    ],
)
def test_a_whole_placeholder_is_told_from_text(text: str, expected: str | None) -> None:
    assert expected == placeholders.whole(text)


def test_each_placeholder_is_found_once() -> None:
    assert placeholders.find("@A@ ${B} @A@ $C @@") == ("@A@", "${B}")


def test_a_file_without_placeholders_deserves_no_note() -> None:
    assert placeholders.note("root@host") == ()
    assert len(placeholders.note("@A@")) == 1
