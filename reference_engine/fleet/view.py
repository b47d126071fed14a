"""What somebody knows of etcd's keys: as they were read, and changed since. Pure.

A watch that is opened again may tell what was told already, and in memory nothing is as new as in etcd. So each view
knows the revision up to which it is complete, and passes over what is not newer. What is written on the strength of a
view is written on the condition that nothing has changed since that revision.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from reference_engine.fleet.documents import decoded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reference_engine.fleet.etcd.messages import KeyValue, RangeResult, WatchBatch

T = TypeVar("T")


class KeysView:
    """The keys that were read and watched.

    Attributes:
        revision: the revision of etcd up to which all changes are in it; 0: nothing was read yet.

    """

    def __init__(self) -> None:
        self.revision = 0
        self._kvs: dict[str, KeyValue] = {}

    def read(self, result: RangeResult) -> None:
        """Takes over the keys as they were read, unless a watch has told newer ones already."""
        if result.revision >= self.revision:
            self.revision = result.revision
            self._kvs = {kv.key: kv for kv in result.kvs}

    def watched(self, batch: WatchBatch) -> bool:
        """Takes over changes; returns True if there were some that are new."""
        new = [event for event in batch.events if event.kv.mod_revision > self.revision]
        for event in new:
            if event.deleted:
                self._kvs.pop(event.kv.key, None)
            else:
                self._kvs[event.kv.key] = event.kv
        self.revision = max(self.revision, batch.revision)
        return bool(new)

    def get(self, key: str) -> KeyValue | None:
        """Returns a key; None if it is not there."""
        return self._kvs.get(key)

    def mod_revision(self, key: str) -> int:
        """Returns the revision at which a key was changed last; 0 if it is not there."""
        return 0 if (kv := self._kvs.get(key)) is None else kv.mod_revision

    def document(self, key: str, kind: type[T]) -> T | None:
        """Returns the document of a key; None if there is none of that kind."""
        return None if (kv := self._kvs.get(key)) is None else decoded(kv.value, kind)

    def keys(self, prefix: str) -> Iterator[str]:
        """Yields all keys that begin with a prefix, in their order."""
        return (key for key in sorted(self._kvs) if key.startswith(prefix))

    def documents(self, prefix: str, kind: type[T]) -> Iterator[T]:
        """Yields the documents of all keys that begin with a prefix, in the keys' order."""
        for key in self.keys(prefix):
            if (document := self.document(key, kind)) is not None:
                yield document
