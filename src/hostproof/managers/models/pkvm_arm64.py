"""pKVM on arm64."""

from __future__ import annotations

from hostproof.managers.engine import Model, ModelBuilder
from hostproof.managers.models import pkvm_guests
from hostproof.managers.models.pkvm_claims import claims
from hostproof.managers.models.pkvm_pages import State, host_and_el2, observers

__all__ = ["model"]


def model() -> Model:
    m = ModelBuilder("pkvm-arm64", "7.3.4", "pKVM on arm64, private memory")
    x = State(m, False, "nvhe/mem_protect.c")
    host_and_el2(m, x)
    pkvm_guests.donations(m, x)
    pkvm_guests.plain_shares(m, x)
    pkvm_guests.guest_calls(m, x)
    pkvm_guests.reclaims(m, x)
    pkvm_guests.lives(m, x)
    pkvm_guests.guest_memory(m, x)
    observers(m, x)
    claims(m, x)
    return m.build()
