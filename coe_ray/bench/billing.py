"""What a run's calls came to: counted from its journal, priced where the profile gives prices."""

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from coe_ray.journal.audit import Audit
from coe_ray.profile.profile import Profile


def make_bill(audits: Mapping[str, Audit], profile: Profile) -> dict[str, Any]:
    """`calls` of `summary.json`: all models together, and each. `cost` is None where no model has a price."""
    by_model = {
        name: {**asdict(audit), "cost": profile.token_cost(name, audit.prompt_tokens, audit.completion_tokens)}
        for name, audit in audits.items()
    }
    totals = {each.name: sum(getattr(audit, each.name) for audit in audits.values()) for each in fields(Audit)}
    costs = [each["cost"] for each in by_model.values() if each["cost"] is not None]
    return {**totals, "cost": sum(costs) if costs else None, "by_model": by_model}
