"""The one table of what the reference leaves open: facts tagged [C] and [A], and our own choices (SB).

Change a value here, or hand another `Choices` to the sandbox, and the stand-in behaves so; nothing else
decides such things.
"""

from __future__ import annotations

from dataclasses import dataclass

from bousai_kit.sandbox.choices_directory import DirectoryChoices

__all__ = ["Choices"]


@dataclass(frozen=True, slots=True)
class Choices(DirectoryChoices):
    """What the sandbox does where the vendor's documents are silent.

    Every field names the paragraph of the reference (part § section) and its evidence tag.
    """

    # -- auth (part 1 §1) ---------------------------------------------------------------------------
    token_life_s: int = 86400  # 1 §1.5: an app setting, 1 h or 24 h
    refresh_life_s: int = 90 * 86400  # 1 §1.5 [D]
    refresh_rotation: bool = (
        False  # 1 §1.6 [C]: an app setting; off = the refresh answer has no refresh_token
    )
    new_token_ends_older: bool = False  # 2 §15: evidence divided
    assertion_tolerance_s: float = 5.0  # 2 §15: 60 minutes plus a clock read twice
    clock_skew_s: float = 5.0  # SB: an iat so far ahead is still taken
    invalid_assertion: tuple[int, str] = (400, "invalid_grant")  # 1 §1.8 SB
    invalid_client: tuple[int, str] = (401, "invalid_client")  # 1 §1.8 SB
    invalid_scope: tuple[int, str] = (400, "invalid_scope")  # 1 §1.8 [C], status SB
    revoke_body: bool = False  # 1 §11: success body unknown; SB: 200 and empty
    delegation: bool = False  # 1 §1.7 [C]: whether the app is of the delegation kind
    scope_may_use_commas: bool = False  # 1 §11: unknown

    address_not_allowed: tuple[int, str, str] = (
        401,
        "UNAUTHORIZED",
        "Access from this IP address is not allowed.",
    )  # 2 §10 [H] names only the end of tokens; what an address outside meets: [A]

    # -- common (part 1 §2) -------------------------------------------------------------------------
    wrong_path_before_token: bool = True  # SB: `Api not exists` is said without looking at the token
    me_with_service_account: tuple[int, str, str] = (
        403,
        "ACCESS_DENIED",
        "Access is denied.",
    )  # 1 §1.1 [D], status SB
    body_too_large: tuple[int, str] = (413, "PAYLOAD_TOO_LARGE")  # SB
    wrong_content_type: tuple[int, str] = (
        415,
        "UNSUPPORTED_MEDIA_TYPE",
    )  # SB; a missing header is let through

    # -- limits (part 1 §2.5, part 2 §5) ------------------------------------------------------------
    fixed_window_starts_at: str = "first"  # SB: "first" request of a window, or the clock's "minute"
    orgunit_gap_s: float = 1.0  # 1 §2.5 [D]: one call a second
    orgunit_too_fast: str = "429"  # SB: how that is refused: "429", "409", or "accept"
    member_overlap: str = "409"  # SB: two writes of one member at once: "409" or "accept"
    bot_overlap: str = "409"  # 2 §1.1 SB
    serial_service_s: float = 0.02  # SB: how long such a write takes, so that two can overlap at all
    concurrent: int = 0  # 1 §2.5: a limit exists, its number is unknown; 0 = none
