#!/bin/bash
# What:      OpenTelemetry's OTLP exporter over HTTP takes a redirect for success: it neither follows it nor reports it.
#            The spans are gone, and nothing is logged.
# For whom:  Whoever's collector is behind a proxy that redirects to https:// or to a page for signing in.
# How seen:  A local server answers POST /v1/traces with 302 and /login. One span is exported; /login is never asked for.
# A good guess: SpanExportResult.FAILURE, as OTLP/HTTP knows no success but HTTP 200.
# Exit status: not 0 if this has changed.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install -q --disable-pip-version-check opentelemetry-sdk==1.45.2 opentelemetry-exporter-otlp-proto-http==1.45.2
cat > "$place/look.py" <<'EOF'
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import version
from threading import Thread

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider

seen = []


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        length = int(self.headers["content-length"])
        seen.append(("POST", self.path, len(self.rfile.read(length))))
        self.send_response(302)
        self.send_header("location", "/login")
        self.send_header("content-length", "0")
        self.end_headers()

    def do_GET(self):
        seen.append(("GET", self.path, 0))
        self.send_response(200)
        self.send_header("content-length", "6")
        self.end_headers()
        self.wfile.write(b"log in")

    def log_message(self, *_):
        pass


server = HTTPServer(("127.0.0.1", 0), Handler)
Thread(target=server.serve_forever, daemon=True).start()
span = TracerProvider().get_tracer("t").start_span("call")
span.end()
exporter = OTLPSpanExporter(endpoint=f"http://127.0.0.1:{server.server_port}/v1/traces", timeout=5)
result = exporter.export([span])
print("opentelemetry-exporter-otlp-proto-http", version("opentelemetry-exporter-otlp-proto-http"))
print("requests:", *seen)
print("A good guess: SpanExportResult.FAILURE")
print("Seen:", result)
raise SystemExit(0 if result.name == "SUCCESS" and [request[0] for request in seen] == ["POST"] else 1)
EOF
"$place/venv/bin/python" "$place/look.py"
