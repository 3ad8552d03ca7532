"""Feature bits of one VM: what the technology claims, switched by the launch policy and by what a person states.

Four rows of AMD's own table are "optional": no rule may read a technology's name where a bit decides. The order is:
`--fact feature.X`, the technology's own claim, the bits of the definition's policy word, and what the guest's kernel
could not run with. An optional feature that nothing decides stays unknown.
"""

from __future__ import annotations

from collections.abc import Mapping

from hostproof.artefacts.machine.model import Confidential
from hostproof.artefacts.policy import Policy, decode, decode_sev_features
from hostproof.knowledge.predicate import Fact, Facts
from hostproof.knowledge.records import Feature, FeatureClaim, Technology
from hostproof.knowledge.threat_model import first_rule

__all__ = ["launch_policy", "resolve"]


def resolve(
    registry: Mapping[str, Feature],
    technology: Technology,
    confidential: Confidential | None,
    facts: Facts,
) -> dict[str, Fact]:
    """Every feature of the registry as a fact `feature.ID`; unknown ones say which option supplies them.

    `facts` are those of the same VM without features: a person's statements, the kernel, the use.
    """
    switched = _switched(technology, confidential)
    return {name: _resolve(feature, technology.features[name], switched, facts) for name, feature in registry.items()}


def launch_policy(technology: Technology, confidential: Confidential | None) -> Policy | None:
    """The decoded launch policy of the definition, where it has one for this technology."""
    if confidential is None or confidential.policy is None or confidential.technology != technology.id:
        return None
    return decode(confidential.technology, confidential.policy)


def _switched(technology: Technology, confidential: Confidential | None) -> dict[str, Fact]:
    """What the definition's launch fields switch: policy bits, and SEV features where it gives them."""
    result: dict[str, Fact] = {}
    policy = launch_policy(technology, confidential)
    if policy is not None and confidential is not None:
        place = confidential.policy_place or confidential.place
        for name, value in policy.features().items():
            result[name] = Fact(f"feature.{name}", value, place)
    if confidential is not None and confidential.technology == technology.id:
        for name, value in _sev_features(confidential).items():
            result[name] = Fact(f"feature.{name}", value, confidential.place)
    return result


def _sev_features(confidential: Confidential) -> dict[str, bool]:
    """Bits of VMSA SEV_FEATURES where the definition writes them (`guest-features`, IGVM's VMSA)."""
    for name, text in confidential.fields:
        if name in ("guest-features", "sev-features"):
            try:
                return decode_sev_features(int(text, 0)).features()
            except ValueError:
                return {}
    return {}


def _resolve(feature: Feature, claim: FeatureClaim, switched: Mapping[str, Fact], facts: Facts) -> Fact:
    name = f"feature.{feature.id}"
    stated = facts.fact(name)
    if stated.value is not None:
        return stated
    if feature.kind != "bool":
        return Fact(name, claim.value)
    if claim.value in ("yes", "no"):
        return Fact(name, claim.value == "yes")
    if claim.value == "optional" and feature.id in switched:
        return switched[feature.id]
    off = first_rule(feature.off, facts)
    if claim.value == "optional" and off.holds:
        return Fact(name, False, next((fact.place for fact in off.because if fact.place), None))
    return Fact(name, None, None, f"--fact {name}=yes|no" + (f" ({feature.switch})" if feature.switch else ""))
