"""Choices about members, org units, groups and catalogues; part of `choices.Choices`.

As in `choices`: every field names the paragraph of the reference and its evidence tag.
"""

from __future__ import annotations

from dataclasses import dataclass

from bousai_kit.sandbox.choices_bots import BotChoices

__all__ = ["DirectoryChoices"]

Refusal = tuple[int, str, str]


@dataclass(frozen=True, slots=True)
class DirectoryChoices(BotChoices):
    """What the sandbox does where part 1 §2.2 to §7 is silent."""

    # -- references (part 1 §2.2, §2.4) -------------------------------------------------------------
    member_refs_say_not_found: bool = True  # 1 §2.4: unknown ids inside a body are 404; False: 400
    feature_off: Refusal = (403, "ACCESS_DENIED", "Access is denied.")  # 1 §7 [A]
    feature_off_in_member: Refusal = (
        400,
        "INVALID_PARAMETER",
        "The feature is not enabled.",
    )  # 1 §4.2 [D], status SB
    not_on_this_plan: Refusal = (
        400,
        "INVALID_PARAMETER",
        "Not available on this plan.",
    )  # 1 §4.2 [D], status SB
    name_taken: tuple[int, str] = (
        409,
        "CONFLICT",
    )  # 1 §6, §7 [D] unique, status by analogy with the keys [A]
    orgunit_key_taken: tuple[int, str] = (409, "CONFLICT")  # 1 §2.4: by analogy with groups [A]
    orgunit_email_taken: tuple[int, str] = (400, "INVALID_PARAMETER")  # 1 §5: by analogy with members [A]

    hidden_from_ordinary: bool = True  # 1 §3 [D] only the super admin sees all; what is left out: SB

    # -- members (part 1 §4) ------------------------------------------------------------------------
    narrow_reads: bool = True  # 1 §1.9 [D] "narrow member reads"; which properties they leave out: SB
    undocumented_user_fields: tuple[str, ...] = ("undocumented",)  # 1 §2.1 [M]: some occur; the name: SB
    max_user_statuses: int = 10  # 1 §3 [A]
    create_shows_flags: bool = True  # 1 §4.5: the published answer shows none; read with GET
    pending_expires_days: int = 30  # 1 §4.1 [H]
    deleted_kept_days: int = 7  # 1 §4.8 [D]
    deleted_leaves_groups: bool = True  # 1 §4.8 [D] for rooms; for group members [A]
    change_deleted: Refusal = (400, "INVALID_PARAMETER", "The member is deleted.")  # SB
    delete_again: Refusal = (404, "NOT_FOUND", "User not found.")  # SB: 400 or 404 are documented
    member_duplicate: tuple[int, str] = (400, "INVALID_PARAMETER")  # 1 §2.4 [C]
    patch_replaces_objects: bool = (
        True  # SB: `userName`, `customProperties` in a PATCH; the harsher reading of 1 §2.1
    )
    password_on_update: Refusal | None = (
        400,
        "INVALID_PARAMETER",
        "passwordConfig is only taken at creation.",
    )  # 1 §4.4 [C]; None: ignored
    orgunit_primary: str = "refuse"  # 1 §4.3 [D] one true; SB: else "refuse", or the "first" becomes it
    reserved_login_ids: tuple[str, ...] = (
        "admin",
        "administrator",
        "root",
        "postmaster",
        "webmaster",
    )  # 1 §4.2: list unknown
    halfwidth_kana: bool = True  # 1 §4.2 [D] katakana only; whether half-width ones count is not said
    messenger_twitter: bool = False  # 1 §2.8 [D]: not taken since late 2026
    locale: str = "ja_JP"  # SB: what a member without one gets
    time_zone: str = "Asia/Tokyo"  # SB
    company: str = "防災市（練習用）"  # SB: `organizationName`
    force_logout_s: float = 60.0  # 1 §4.8 [D]: up to 5 minutes
    alias_status: int = 204  # 1 §11: unknown
    photo_status: int = 200  # 1 §3 [D]; of its upload 1 §11: unknown

    # -- passwords (part 1 §4.4) --------------------------------------------------------------------
    password_policy: str = "letters+digits"  # noqa: S105 - [H]: or "letters+digits+symbols"
    password_no_runs: bool = True  # [H, an older guide's default]: no 3 equal or following characters
    password_change_logs_out: bool = True  # [D]: ADMIN needs a second login
    login_failures: int = 5  # 3 to 10 [C]

    # -- org units (part 1 §5) ----------------------------------------------------------------------
    delete_orgunit_with_members: Refusal = (
        400,
        "INVALID_PARAMETER",
        "The org unit still has members.",
    )  # status unknown
    delete_orgunit_with_children: Refusal = (
        400,
        "INVALID_PARAMETER",
        "The org unit still has org units below it.",
    )  # [A]
    patch_orgunit_needs_email: bool = False  # [D] "required when updating": surely PUT; PATCH is not said
    max_orgunits: int = 10000  # [H]; Free 100
    orgunit_depth: int = 15  # [H]
    orgunit_same_names: bool = True  # SB: whether two units below one parent may have one name
    unit_room: str = "enabled"  # 1 §5 [H]: there once `useMessage` is on (JP), or only with a "leader" (EN)
    access_restrict_statuses: tuple[int, int] = (201, 200)  # 1 §3 [C]: POST, PUT; body unknown, kept as sent

    # -- groups (part 1 §6) -------------------------------------------------------------------------
    group_history_days: int = 30  # [D]
    group_room_lost: Refusal = (
        400,
        "INVALID_PARAMETER",
        "The features of the group were ended.",
    )  # [D], status SB
    group_not_editable: Refusal = (403, "ACCESS_DENIED", "Access is denied.")  # [D], status SB
    group_mail_needs_advanced: bool = True  # [D] `useMail` is of the Advanced plan; that it is refused: SB
    max_groups: int = 100000  # [H]; Free 1,000
    groups_per_member: int = 2000  # [H]

    # -- catalogues (part 1 §7) ---------------------------------------------------------------------
    switch_status: int = 204  # `enable` and `disable`: SB
    custom_properties_name: str = "customProperties"  # JP pages say customAttributes
    max_custom_properties: int = 50  # [D]
    mandatory_properties: bool = True  # 1 §4.2 [D]: can become mandatory in the API as well
    options_for: tuple[str, ...] = ("STRING",)  # SB: types of custom properties that may have options
    property_fixed: tuple[str, ...] = ("propertyName", "propertyType", "multiValued")  # SB: not by PATCH
    user_type_needs: tuple[str, ...] = (
        "domainId",
        "displayOrder",
        "userTypeName",
    )  # [A]: no marks on the page
    employment_types: bool = True  # 1 §2.8, §3 [D]: the old paths of user types, deprecated
    custom_fields: bool = False  # 1 §3 [D]: the old paths of custom properties ended late 2026-07
