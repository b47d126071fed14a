"""Makes what a `VersionHistory` keeps of a version, before it serves."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import trio

from voicepipe.pipelines.kept_versions import ConfigFingerprint, KeptVersion

if TYPE_CHECKING:
    from voicepipe.config.settings import SetConfig
    from voicepipe.pipelines.attempts import Attempt
    from voicepipe.pipelines.plan import Plan
    from voicepipe.pipelines.versions import Versions


async def version_to_keep(
    versions: Versions,
    config: SetConfig,
    attempt: Attempt,
    plan: Plan,
    *,
    held: KeptVersion | None = None,
    files: SetConfig | None = None,
    number: int | None = None,
) -> KeptVersion:
    """Returns what is kept of a version: with the number of the last one of the process before, if it is that.

    Args:
        versions: the versions of the set so far.
        config: the version's configuration.
        attempt: the attempt to serve it.
        plan: the changes that it makes.
        held: the rollback of the process before that it serves again; None: it is none.
        files: the files that a rollback puts aside; None: it is no rollback, or they are invalid.
        number: the number that it has; None: it is to be found here.

    """
    last = versions.last_of_past
    if last is not None and number is not None and number != last.version:
        last = None
    same = last is not None and await trio.to_thread.run_sync(last.fingerprint.matches, config)
    if last is not None and same:
        number, fingerprint = last.version, last.fingerprint
    else:
        fingerprint = await trio.to_thread.run_sync(ConfigFingerprint.of, config)
    if held is not None:
        put_aside = held.put_aside
    else:
        put_aside = None if files is None else await trio.to_thread.run_sync(ConfigFingerprint.of, files)
    return KeptVersion(
        version=versions.next if number is None else number,
        fingerprint=fingerprint,
        path=config.files[0],
        active_pipeline=config.active_pipeline,
        applied_at=datetime.now(UTC),
        trigger=attempt.trigger,
        plan=plan,
        rolled_back_to=attempt.to if held is None else held.rolled_back_to,
        put_aside=put_aside,
    )
