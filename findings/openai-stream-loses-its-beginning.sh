#!/bin/bash
# What:      If a streamed answer begins with a byte order mark (U+FEFF), the openai library loses the first event: the first
#            words of a reply are missing, and nothing is raised. The standard for server-sent events (HTML, 9.2.6: "UTF-8
#            decode") removes one such mark before anything is parsed.
# For whom:  Programs that use the library with other servers and proxies than OpenAI's (base_url), which may send that mark.
#            A caller hears "closed on Sunday" in place of "We are closed on Sunday". If a reply is only a tool call, its
#            name and ID are in the first event.
# How seen:  A stream of three chunks was given to the library twice, by httpx2's transport for tests: unchanged, and with
#            the mark before it.
# A good guess: both give the same words, as a browser's EventSource does.
# Exit status: not 0 if this has changed.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install -q --disable-pip-version-check openai==3.54.0 httpx2==2.16.2
cat > "$place/look.py" <<'EOF2'
import json
from importlib.metadata import version

import httpx2
import openai


def chunk(delta, finish=None):
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}


CHUNKS = [chunk({"content": "We are "}), chunk({"content": "closed on Sunday."}), chunk({}, "stop")]
STREAM = "".join(f"data: {json.dumps(one)}\n\n" for one in CHUNKS) + "data: [DONE]\n\n"


def words(body):
    def answer(_request):
        return httpx2.Response(200, headers={"content-type": "text/event-stream; charset=utf-8"}, content=body.encode())

    http = httpx2.Client(transport=httpx2.MockTransport(answer))
    client = openai.OpenAI(api_key="none", base_url="http://127.0.0.1:9/v1", http_client=http)
    reply = client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}], stream=True)
    return "".join(one.choices[0].delta.content or "" for one in reply)


plain, marked = words(STREAM), words("\ufeff" + STREAM)
print("openai", version("openai"), " httpx2", version("httpx2"))
print("the stream as it is:          ", repr(plain))
print("with a byte order mark before:", repr(marked))
print("\nA good guess: both are the same. Seen: the second lacks its first event:", marked == "closed on Sunday.")
raise SystemExit(0 if plain == "We are closed on Sunday." and marked == "closed on Sunday." else 1)
EOF2
"$place/venv/bin/python" "$place/look.py"
