"""Check what a drill will need, before it is needed; never print a secret, never change the tenant.

==============  ==========================================================================================
``checks``      what a check says, and all of a visit
``visit``       the order of the checks, and which of them cannot be made without which
``here``        this machine: settings, key, ledger, disk, font, versions
``road``        proxy, names, certificates and clock on the way to LINE WORKS
``tenant``      token, scopes, bot, logs
``reception``   how the answers come back
==============  ==========================================================================================

Every check returns what was seen, or raises an error of the kit, whose text is the sentence and whose hint is
what to do. What was refused before is asked again (somebody may have mended it just now), and nothing is
waited for as long as a drill would wait for it.
"""

from __future__ import annotations

from bousai_kit.doctor.checks import Check, Examination
from bousai_kit.doctor.visit import examine, visit

__all__ = ["Check", "Examination", "examine", "visit"]
