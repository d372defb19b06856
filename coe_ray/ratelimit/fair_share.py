"""Max-min fair shares: no client gets more than it wants, and what it leaves goes to clients that want more."""

from collections.abc import Callable, Sequence
from operator import floordiv, truediv


def fair_shares(total: float, wants: Sequence[float], divide: Callable[[float, int], float] = truediv) -> list[float]:
    """Shares of `total`: none beyond its want, and none could grow without shrinking a smaller one."""
    shares, left = [0.0] * len(wants), max(total, 0)
    smallest_first = sorted(range(len(wants)), key=wants.__getitem__)
    for rank, each in enumerate(smallest_first):
        shares[each] = min(wants[each], divide(left, len(wants) - rank))
        left -= shares[each]
    return shares


def whole_shares(total: int, wants: Sequence[int]) -> list[int]:
    """The same in whole numbers, for wants of at least 1.

    The unwanted rest is spread evenly, but for one part that is kept so that a new client need not wait. If there are
    fewer than one each, the first clients get one: the caller decides by their order.
    """
    if total < len(wants):
        return [int(place < total) for place in range(len(wants))]
    shares = [int(share) for share in fair_shares(total, wants, floordiv)]
    left = total - sum(shares)
    return [share + (left + place) // (len(wants) + 1) for place, share in enumerate(shares)]
