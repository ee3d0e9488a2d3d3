"""Which scopes has an app? One that it lacks refuses the whole token request (part 1 §1.8), unnamed.

So it takes questions to find out. Few: each is a token request.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

__all__ = ["find_granted"]


async def find_granted(
    scopes: tuple[str, ...], granted: Callable[[tuple[str, ...]], Awaitable[bool]]
) -> tuple[str, ...]:
    """The scopes that the app has, in the order given.

    Parameters
    ----------
    scopes : tuple of str
        Have been refused together, so at least one of them is missing. Those that an app lacks more often
        stand behind: they cost less there.
    granted : callable
        Asks for a token with so many scopes; False: refused because of a scope.

    Notes
    -----
    Of nine scopes: the last one missing costs one question, any other one at most six, any number of them
    at most fourteen, the token itself included (one by one it is always ten). No question is asked twice.
    """
    good = await _longest(scopes, granted)
    have, rest = scopes[:good], scopes[good + 1 :]
    if not rest or await granted(have + rest):
        return have + rest
    if len(rest) == 1:
        return have
    return have + tuple([scope for scope in rest if await granted((scope,))])


async def _longest(scopes: tuple[str, ...], granted: Callable[[tuple[str, ...]], Awaitable[bool]]) -> int:
    """How many can be taken from the front until one is missing; looked for from the end."""
    low, high, step = 0, len(scopes), 1
    while high - low > 1:
        middle = max(high - step, (low + high) // 2) if step else (low + high) // 2
        if await granted(scopes[:middle]):
            low, step = middle, 0
        else:
            high, step = middle, step * 2
    return low
