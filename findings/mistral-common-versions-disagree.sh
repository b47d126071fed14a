#!/bin/bash
# What:      Which conversations with tool calls mistral-common accepts depends on the version of the tokenizer and of the
#            package. Text beside a tool call is refused by V1 and V3, and accepted from V5 on. A tool result with an unknown
#            ID, or two results with one ID, are accepted by V1 to V5, which only count results, and refused by V13. A user
#            message right after a tool result is refused by package version 1.8.5 for all tokenizers, and accepted by 1.13.1.
# For whom:  Programs that send one conversation to several Mistral models, by the API or by vLLM's `--tokenizer-mode mistral`,
#            for instance in a failover list: what one server accepts, another refuses with HTTP 400.
# How seen:  Five short conversations were given to the validators of two versions of the package.
# A good guess: all of them agree on what a valid conversation is.
# Exit status: not 0 if this has changed.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
cat > "$place/look.py" <<'EOF'
import sys
from importlib.metadata import version

from mistral_common.exceptions import MistralCommonException
from mistral_common.protocol.instruct import validator
from mistral_common.protocol.instruct.request import ChatCompletionRequest

print("mistral-common", version("mistral-common"))
USER = {"role": "user", "content": "hello"}
REPLY = {"role": "assistant", "content": "Yes."}


def calls(*numbers, content=None):
    made = [{"id": one, "type": "function", "function": {"name": "book", "arguments": "{}"}} for one in numbers]
    return {"role": "assistant", "content": content, "tool_calls": made}


def result(number):
    return {"role": "tool", "tool_call_id": number, "content": "booked"}


CASES = {
    "a call and its result": ([USER, calls("abcDEF123"), result("abcDEF123")], (True, True, True, True)),
    "words beside a call": ([USER, calls("abcDEF123", content="Wait."), result("abcDEF123")], (False, False, True, True)),
    "a result of no call": ([USER, calls("abcDEF123"), result("zzzzzz999")], (True, True, True, False)),
    "one id, two results": (
        [USER, calls("abcDEF123", "abcDEF124"), result("abcDEF123"), result("abcDEF123")],
        (True, True, True, False),
    ),
    "user behind a result": ([USER, calls("abcDEF123"), result("abcDEF123"), USER], (sys.argv[1] == "new",) * 4),
}
VALIDATORS = [getattr(validator, f"MistralRequestValidator{name}") for name in ("", "V3", "V5", "V13")]


def taken(kind, messages):
    request = ChatCompletionRequest.from_openai(messages=messages, model="m")
    try:
        kind(mode=validator.ValidationMode.serving).validate_request(request)
    except MistralCommonException:
        return False
    return True


changed = False
for name, (messages, expected) in CASES.items():
    seen = tuple(taken(kind, messages) for kind in VALIDATORS)
    changed |= seen != expected
    print(f"{name:22}", *(f"{kind}: {'taken' if took else 'refused'}" for kind, took in zip(("V1", "V3", "V5", "V13"), seen)))
raise SystemExit(changed)
EOF
"$place/venv/bin/pip" install -q --disable-pip-version-check mistral-common==1.8.5
"$place/venv/bin/python" "$place/look.py" old
"$place/venv/bin/pip" install -q --disable-pip-version-check mistral-common==1.13.1
"$place/venv/bin/python" "$place/look.py" new
