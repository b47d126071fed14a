"""Calls from a web page: a softphone in the browser, and any other client that speaks its WebSocket protocol."""
