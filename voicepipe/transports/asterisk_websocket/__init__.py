"""Asterisk's `chan_websocket` as a transport: `Dial(WebSocket/...)`, and ARI's external media over a WebSocket."""
