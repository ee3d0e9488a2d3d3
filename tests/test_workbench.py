"""The one place that composes: what it builds, what it refuses, and what it gives back."""

from __future__ import annotations

import asyncio
import math
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from bousai_kit.clock import SystemClock, VirtualClock
from bousai_kit.errors import ConfigError, GuardError, LedgerUnavailable
from bousai_kit.ledger import Ledger
from bousai_kit.settings import Settings, isolated_settings, load_settings
from bousai_kit.workbench import open_workbench


def live(home: Path, **more: str) -> Settings:
    environ = {"BOUSAI_PROFILE": "live", "BOUSAI_HOME": str(home), **more}
    return load_settings(environ=environ, cwd=home)


def test_the_sandbox_needs_nothing_and_shares_one_clock(tmp_path: Path) -> None:
    async def main() -> None:
        async with await open_workbench(settings=isolated_settings(tmp_path)) as bench:
            assert bench.in_sandbox
            assert bench.sandbox is not None
            assert bench.clock is bench.sandbox.clock
            assert math.isinf(bench.clock.speed)
            assert bench.clock.now() == datetime(2027, 1, 17, tzinfo=UTC)
            assert bench.client is bench.client
            assert bench.client.clock is bench.clock
            event = await bench.ledger.append("s", "k")
            assert event is not None
            assert event.recorded_at == bench.clock.now()
            assert str(bench.bot_secret) not in repr(bench)
        await bench.close()  # twice is fine

    asyncio.run(main())


def test_nothing_but_its_own_tenant_can_be_reached(tmp_path: Path) -> None:
    async def main() -> None:
        async with await open_workbench(settings=isolated_settings(tmp_path)) as bench:
            _ = bench.client
            assert bench._http is not None
            for url in ("https://www.worksapis.com/v1.0/users", "http://127.0.0.1:9/", "http://localhost/"):
                with pytest.raises(httpx.ConnectError):
                    await bench._http.get(url)

    asyncio.run(main())


def test_the_clock_goes_on_where_the_last_one_stopped(tmp_path: Path) -> None:
    async def main() -> None:
        async with await open_workbench(settings=isolated_settings(tmp_path)) as bench:
            await bench.clock.sleep(3600)
            await bench.ledger.append("s", "k")
            left_at = bench.clock.now()
        async with await open_workbench(settings=isolated_settings(tmp_path)) as bench:
            assert bench.clock.now() >= left_at
        async with await open_workbench(settings=isolated_settings(tmp_path), offline=True) as bench:
            assert bench.clock.now() >= left_at

    asyncio.run(main())


def test_no_clock_of_a_home_runs_behind_its_ledger(tmp_path: Path) -> None:
    """As after a kill that lost the tenant's last reading but not the ledger's last event."""
    late = datetime(2027, 3, 1, tzinfo=UTC)

    async def main() -> None:
        settings = isolated_settings(tmp_path)
        async with await Ledger.open(settings.ledger_url, clock=VirtualClock(late)) as ledger:
            await ledger.append("s", "k")
        for offline in (True, False):
            async with await open_workbench(settings=settings, offline=offline) as bench:
                assert bench.clock.now() >= late
                event = await bench.ledger.append("s", "k")
                assert event is not None
                assert event.recorded_at >= late

    asyncio.run(main())


def test_offline_makes_no_request_and_starts_no_tenant(tmp_path: Path) -> None:
    async def main() -> None:
        async with await open_workbench(settings=isolated_settings(tmp_path), offline=True) as bench:
            assert bench.sandbox is None
            with pytest.raises(GuardError):
                _ = bench.client
            await bench.ledger.append("s", "k")
        assert not (tmp_path / "sandbox" / "tenant.db").exists()

    asyncio.run(main())


def test_offline_beside_a_running_one(tmp_path: Path) -> None:
    """`drill status` while a notebook works in the same home: it waits for nobody's lock."""

    async def main() -> None:
        async with (
            await open_workbench(settings=isolated_settings(tmp_path)) as running,
            await open_workbench(settings=isolated_settings(tmp_path), offline=True) as reading,
        ):
            await running.ledger.append("s", "k")
            assert [event.kind for event in await reading.ledger.read()] == ["k"]

    asyncio.run(main())


def test_a_real_tenant_names_all_that_is_missing(tmp_path: Path) -> None:
    async def main() -> None:
        async with await open_workbench(settings=live(tmp_path, BOUSAI_CLIENT_ID="x")) as bench:
            assert not bench.in_sandbox
            assert isinstance(bench.clock, SystemClock)
            with pytest.raises(ConfigError) as caught:
                _ = bench.client
            said = str(caught.value)
            assert "BOUSAI_CLIENT_ID" not in said
            for name in ("CLIENT_SECRET", "SERVICE_ACCOUNT", "PRIVATE_KEY_FILE", "DOMAIN_ID", "BOT_ID"):
                assert f"BOUSAI_{name}" in said
            assert "README" in caught.value.hint
            for name in ("domain_id", "bot_id", "bot_secret"):
                with pytest.raises(ConfigError, match=f"BOUSAI_{name.upper()}"):
                    getattr(bench, name)

    asyncio.run(main())


def test_the_ledger_of_another_domain_is_refused(tmp_path: Path) -> None:
    async def main() -> None:
        async with await open_workbench(settings=live(tmp_path, BOUSAI_DOMAIN_ID="7")) as bench:
            await bench.ledger.append("s", "k")
        with pytest.raises(LedgerUnavailable, match="別のドメイン"):
            await open_workbench(settings=live(tmp_path, BOUSAI_DOMAIN_ID="8"))
        with pytest.raises(LedgerUnavailable, match="別のドメイン"):  # and the tenant is given back
            await open_workbench(settings=isolated_settings(tmp_path))
        (tmp_path / "ledger.db").unlink()
        async with await open_workbench(settings=isolated_settings(tmp_path)) as bench:
            assert bench.in_sandbox

    asyncio.run(main())


def test_cancelled_while_it_opens_nothing_is_held(tmp_path: Path) -> None:
    async def main() -> None:
        for turns in range(0, 40, 3):
            opening = asyncio.create_task(open_workbench(settings=isolated_settings(tmp_path)))
            for _ in range(turns):
                await asyncio.sleep(0)
            opening.cancel()
            (result,) = await asyncio.gather(opening, return_exceptions=True)
            if not isinstance(result, BaseException):
                await result.close()
        async with await open_workbench(settings=isolated_settings(tmp_path)) as bench:
            assert await bench.client.bots.get(bench.bot_id)

    asyncio.run(main())


def test_equal_seeds_equal_tenants(tmp_path: Path) -> None:
    async def ids(folder: Path, seed: int) -> Any:
        async with await open_workbench(settings=isolated_settings(folder), seed=seed) as bench:
            users = [user["userId"] async for user in bench.client.users.list()]
            await bench.clock.sleep(timedelta(days=1).total_seconds())
            return users, bench.bot_id, bench.domain_id, bench.clock.now()

    async def main() -> None:
        first = await ids(tmp_path / "a", 1)
        assert first == await ids(tmp_path / "b", 1)
        assert first[0] != (await ids(tmp_path / "c", 2))[0]

    asyncio.run(main())
