"""The actor that holds the rate governors, without a cluster."""

from coe_ray.cluster.governors import GovernorActor
from coe_ray.ratelimit.governor import RateLimits, UsageReport


def test_every_provider_key_has_a_governor_of_its_own() -> None:
    actor = GovernorActor()
    assert actor.report("one", UsageReport("a", RateLimits(8), waiting=9)).slots == 8
    assert actor.report("one", UsageReport("b", RateLimits(8), waiting=9)).slots == 0
    assert actor.report("other", UsageReport("b", RateLimits(4), waiting=9)).slots == 4
