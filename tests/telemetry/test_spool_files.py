"""Each worker has a file of waiting webhooks of its own, and what nobody holds any more is taken over once."""

from __future__ import annotations

from reference_engine.telemetry.spool_files import SpoolClaim, spool_files
from reference_engine.telemetry.webhook_spool import About, WaitingWebhook, WebhookSpool


def waiting(number):
    return WaitingWebhook(f"msg_{number}", "target", "call.ended", About("call", "+15551234", "100"), "{}", 1.0, 2.0)


def kept(path, *numbers):
    spool = WebhookSpool(path)
    spool.add([waiting(number) for number in numbers])
    spool.close()


def ids(path):
    spool = WebhookSpool(path)
    found = []
    while isinstance(message := spool.next_due("target", 9.0), WaitingWebhook):
        found.append(message.id)
        spool.remove(message)
    spool.close()
    return found


def test_workers_have_files_of_their_own_and_adopt_those_that_nobody_holds(tmp_path):
    base = tmp_path / "state" / "webhooks.db"
    alone, first, second = SpoolClaim(base, None), SpoolClaim(base, 1), SpoolClaim(base, 2)
    assert [claim.path.name for claim in (alone, first, second)] == [
        "webhooks.db",
        "webhooks.worker-1.db",
        "webhooks.worker-2.db",
    ]
    kept(alone.path, 1)
    kept(first.path, 2, 3)
    kept(second.path, 4)
    assert first.adopt_orphans() == 0  # both others are held
    alone.close()
    assert first.adopt_orphans() == 1
    assert second.adopt_orphans() == 0
    second.close()
    assert list(spool_files(base)) == [first.path, second.path]
    assert first.adopt_orphans() == 1
    assert list(spool_files(base)) == [first.path]
    assert sorted(ids(first.path)) == ["msg_1", "msg_2", "msg_3", "msg_4"]
    first.close()


def test_a_number_whose_file_an_earlier_worker_holds_gets_another(tmp_path):
    base = tmp_path / "webhooks.db"
    draining, new = SpoolClaim(base, 1), SpoolClaim(base, 1)
    assert new.path.name == "webhooks.worker-1.2.db"
    kept(draining.path, 1)
    kept(new.path)
    assert new.adopt_orphans() == 0
    draining.close()
    assert new.adopt_orphans() == 1
    new.close()


def test_a_file_that_is_damaged_or_of_another_version_stays(tmp_path):
    base = tmp_path / "webhooks.db"
    base.write_bytes(b"not SQLite's" * 100)
    claim = SpoolClaim(base, 1)
    kept(claim.path)
    assert claim.adopt_orphans() == 0
    assert base.exists()
    claim.close()
