"""The two meanings of every AMD model agree on random steps from random states."""

from __future__ import annotations

import pytest

from hostproof.managers.engine import Model
from hostproof.managers.models import amd_answers, amd_events, amd_guest_requests, amd_launch, amd_vcpu, sev, sev_es
from tests.managers.engine.agreement import Agreement

BY_TECHNOLOGY = (amd_vcpu, amd_events, amd_launch, amd_answers)
MODELS = [sev.model(), sev_es.model(), sev_es.exchange(), amd_guest_requests.model()] + [
    module.model(technology) for module in BY_TECHNOLOGY for technology in module.TECHNOLOGIES
]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_the_models_mean_the_same_in_both_meanings(model: Model) -> None:
    sizes = {sort.name: 2 for sort in model.sorts if sort.uninterpreted}
    agreement = Agreement(model, sizes)

    assert [agreement.disagreement(seed) for seed in range(4)] == [""] * 4
