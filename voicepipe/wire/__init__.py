"""HTTP, WebSockets and pipes for adapters: shared, so that an upgrade of voicepipe mends a fault in all of them.

- `voicepipe.wire.http`: answers that are left early, refusals, `Retry-After`, httpx's exceptions.
- `voicepipe.wire.websocket`: a WebSocket that opens, fails and closes as a component's must.
- `voicepipe.wire.deadlines`: time limits for connecting, sending and answering.
- `voicepipe.wire.event_queue`: a stream's events, and the error that ends them.
- `voicepipe.wire.process`: a helper process that runs a library.
- `voicepipe.wire.sessions`: sessions of streams with a helper process.
- `voicepipe.wire.helper`: the helper's side of its pipes, without trio.

All of it is public. Vendors' libraries are taken as they are, and none is imported before it is used.
"""
