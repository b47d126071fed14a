"""A reply's text without what is not for the caller: thoughts, control tokens, tool calls written as text. Pure.

Servers that know their model keep all of that out of `content`; with another chat template, or without the right
parser, they pass it through. The marks are those of the templates of Qwen, DeepSeek, Llama, Mistral, Gemma, gpt-oss
(its "harmony" format), Command, Kimi, GLM, MiniMax, Phi and OLMo, as they stand in `tokenizer_config.json` and in what
users of vLLM, SGLang, llama.cpp, Ollama and LM Studio report.

Text is held back only as long as it may be the beginning of such a mark: `x < 5` and `<3` pass at once. How it is cut
does not matter, but for thoughts that have an end and no beginning (below), of which what was passed on is gone.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal, TypeAlias

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping

Kind: TypeAlias = Literal["thought", "bare", "call", "channel", "header", "other"]

_NS = r"(?:[a-z][a-z0-9_-]{0,15}:)?"  # mm:think, seed:think, minimax:tool_call
_THINK = (
    r"(?:think(?:ing)?|thoughts?|reason(?:ing)?|reflect(?:ion)?|analysis|scratchpad|deliberation|planning|cot"
    r"|chain_of_thought|(?:inner|internal)_?(?:monologue|thoughts?|dialogue))"
)
_CALL = r"(?:(?:tool|function)_?(?:calls?|code|use|response|result|output)|invoke|function=[\w.-]{1,64})"
_CALL_END = r"(?:(?:tool|function)_?(?:calls?|code|use|response|result|output)|invoke|function)"
_MORE = r"(?:\s[^<>]{0,200})?"
_ROLE = r"(?:<\|(?:im_start|start_header_id|turn|start|role_start)(?:\|>|>)|<start_of_turn>)"
_AGENT = r"(?:assistant|model|bot|agent|ai|gpt)"
_OTHERS = r"(?:user|human|system|tool|function|observation|developer|ipython|environment)"

THOUGHT_END = (
    rf"</{_NS}{_THINK}\s*>|\[/THINK\]|◁/think▷|<\|/(?:think(?:ing)?|thought)\|>|<\|end_(?:of_thought|thinking)\|>"
    r"|<unused95>|<channel\|>"
)
MARK = re.compile(
    rf"""(?P<end>{THOUGHT_END})
    |(?P<thought><{_NS}{_THINK}{_MORE}(?<!/)>|\[THINK\]|◁think▷|<unused94>(?:thought\n)?
        |<\|(?:begin_of_thought|start_thinking|think(?:ing)?|thought)\|>|<\|channel>\s*\w*)
    |(?P<call><{_NS}{_CALL}{_MORE}(?<!/)>|\[TOOL_(?:CALLS|RESULTS)\]|<\|python_tag\|>|<\uff5ctool▁calls?▁begin\uff5c>
        |<\|tool_calls?(?:_section)?(?:_begin|_start)?\|>|<\|tool_call>|<\|(?:start_action|action_start|functioncallbegin)\|>)
    |(?P<channel><\|channel\|>\s*\w*)
    |(?P<header>{_ROLE}\s*(?:(?:{_AGENT}|{_OTHERS})\b)?\s*)
    |(?P<other><[|\uff5c](?:im_)?(?:user|human|system|tool|observation)[|\uff5c]>|\[INST\])
    |(?P<token><\|[^|<>\s]{{1,40}}\|>|<\uff5c[^\uff5c<>]{{1,40}}\uff5c>|</{_NS}{_CALL_END}\s*>|<{_NS}(?:{_THINK}|{_CALL}){_MORE}/>
        |</?s>|<(?:end_of_turn|end_of_utterance|eos|bos|pad|unk|eot|eom|sep|cls|mask|endoftext|unused\d+|ctrl\d+)>
        |<0x[0-9a-f]{{2}}>|<<?/?SYS>>?|</?(?:answer|final|final_answer|response|output|solution)>
        |\[/?(?:INST|SYS|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|TOOL_CONTENT|SYSTEM_PROMPT|ARGS|CALL_ID)\]
        |<(?:turn|tool_call|tool_response|tool)\|>|<\|turn>|<\|tool_response>)""",
    re.VERBOSE | re.IGNORECASE,
)
"""What is not for the caller, or begins it."""

_PARTIAL = re.compile(
    rf"""(?:<(?:/?(?:[a-z][\w:.=-]{{0,80}}/?)?|[</]{{0,2}}S?Y?S?>?|0x?[0-9a-f]{{0,2}}|\|[^|<>\s]{{0,40}}\|?|\uff5c[^\uff5c<>]{{0,40}}\uff5c?
        |{_NS}(?:{_THINK}|{_CALL})\s[^<>]{{0,200}}/?)
    |<\|channel\|?>\s*\w*|{_ROLE}\s*\w*\s*|<unused94>[thoug]{{0,7}}|\[/?[A-Z_]{{0,20}}|◁/?\w{{0,8}})\Z""",
    re.VERBOSE | re.IGNORECASE,
)
"""What may become such a mark when more comes."""

MAY_BEGIN = re.compile(r"[<\[◁]")
"""The first characters of all of these."""

_CUT_OFF = re.compile(r"(?:<\||<\uff5c|</[a-z]|\[/)[^<>\[\]]*\Z", re.IGNORECASE)
"""What can only have been one."""

ENDS: Mapping[Kind, re.Pattern[str]] = {
    "thought": re.compile(THOUGHT_END, re.IGNORECASE),
    "bare": re.compile("assistantfinal"),
    "call": re.compile(
        rf"</{_NS}{_CALL_END}\s*>|\[/TOOL_(?:CALLS|RESULTS)\]|<\uff5ctool▁calls?▁end\uff5c>|<tool_call\|>|</s>|<end_of_turn>"
        r"|<\|(?:tool_calls?(?:_section)?_end|end_action|action_end|functioncallend|eom_id|eot_id|im_end|call|end|/tool_calls?)\|>",
        re.IGNORECASE,
    ),
    "channel": re.compile(r"<\|(?:end|return|call)\|>|(?=<\|(?:start|channel)\|>)", re.IGNORECASE),
    "other": re.compile(
        rf"(?={_ROLE}\s*{_AGENT})|<[|\uff5c](?:im_)?assistant[|\uff5c]>|\[/INST\]|(?=<\|channel\|>final)", re.IGNORECASE
    ),
}
"""Where what was begun ends."""

_RESULT = re.compile("response|result|output", re.IGNORECASE)
"""What a block is called that holds what a tool returned."""

MOST_MARK = 256
"""No mark is longer, in characters."""

_BARE = re.compile(r"\s*(?:analysis(?=[A-Z])|assistantfinal)")
"""How gpt-oss begins where its special tokens were taken out, but not what they mark."""

_WRITTEN = re.compile(r'\s*(?:functools|```(?:json)?)?\s*\[?\s*\{\s*"(?:name|type|function|tool_calls?|tool)"\s*:')
_PART_WRITTEN = re.compile(
    r'\s*(?:f(?:u(?:n(?:c(?:t(?:o(?:o(?:l(?:s)?)?)?)?)?)?)?)?|`{1,3}(?:j?s?o?n?)\s*)?\[?\s*(?:\{\s*(?:"\w{0,12}"?\s*)?)?\Z'
)
"""How a reply begins that is a tool call without any mark, as Llama writes it."""

_OPENERS = r"(?:okay|ok|alright|all\s+right|so|well|now|first|right|let'?s\s+see|hmm+|oh)"
_THINKS = re.compile(
    rf"\s*(?-i:hmm)|\s*(?:{_OPENERS}[\s,.!:]+)*(?:(?:the|this|our)\s+(?:user|caller)\b|好的\uff0c用户|用户|嗯\uff0c)",
    re.IGNORECASE,
)
"""How reasoning models begin to think, and nobody begins to speak to a caller."""

_WORDS = (
    *("hmm", "the user ", "the caller ", "this user ", "this caller ", "our user ", "our caller ", "let's see "),
    *("okay ", "ok ", "alright ", "all right ", "so ", "well ", "now ", "first ", "right ", "lets see ", "oh "),
    *("好的\uff0c用户", "用户", "嗯\uff0c"),
)
_LAST = re.compile(rf"\s*(?:{_OPENERS}[\s,.!:]+)*(?P<rest>.*)\Z", re.IGNORECASE | re.DOTALL)


def begins_as_thought(text: str) -> bool | None:
    """Whether a text begins as a thought that was not marked as one; None: more of it will tell."""
    if _THINKS.match(text):
        return True
    rest = _LAST.match(text)
    begun = " ".join(rest["rest"].casefold().split(" ")) if rest else ""
    return None if any(words.startswith(begun) for words in _WORDS) else False


@frozen
class _Block:
    kind: Kind
    mark: str


class CallerText:
    """Passes on what is for the caller.

    Some templates begin the thoughts themselves, so that the model only ends them: `... </think>`. Nobody knows before
    the end that these were thoughts. So a reply that begins as they do, "Okay, the user ...", is held back until they
    end; so is each, if `thinks_first`.

    Args:
        thinks_first: whether this server's replies begin with thoughts that are not marked.

    """

    def __init__(self, *, thinks_first: bool = False) -> None:
        self.calls: list[str] = []
        """What was written as tool calls, marks included, in order."""
        self.thought_first = False
        """Whether thoughts ended that had not begun."""
        self._stance: Literal["beginning", "thinking", "speaking"] = "thinking" if thinks_first else "beginning"
        self._withheld = ""  # what may turn out to be thoughts
        self._text = ""  # what may be a mark
        self._block: _Block | None = None
        self._begun = False  # whether there was anything but spaces
        self._last = ""  # the character before
        self._gap = False  # whether something was taken out there
        self._spoke = False  # whether there was anything but spaces for the caller

    def speaks(self) -> None:
        """Thoughts come elsewhere: whatever is text is for the caller."""
        if self._stance != "thinking":
            self._stance = "speaking"

    def feed(self, text: str) -> str:
        """The part of this piece, and of held-back text, that is for the caller."""
        plain = self._stance == "speaking" and self._begun and self._block is None and not (self._text or self._gap)
        if plain and text and not MAY_BEGIN.search(text):
            self._last, self._spoke = text[-1], self._spoke or not text.isspace()
            return text
        self._text += text
        return self._release(self._advance(ended=False), ended=False)

    def finish(self) -> str:
        """The held-back text that is for the caller after all, at the end."""
        return self._release(self._advance(ended=True), ended=True)

    def _advance(self, *, ended: bool) -> str:
        passed = ""
        while not self._waits(ended=ended):
            mark = MARK.search(self._text)
            if mark is None:
                return passed + self._pass_rest(ended=ended)
            before, kind = self._text[: mark.start()], mark.lastgroup or ""
            if not ended and (partial := _PARTIAL.search(self._text)) and partial.start() <= mark.start():
                self._text = self._text[mark.start() :]  # the mark may go on
                return passed + self._pass(before)
            self._text = self._text[mark.end() :]
            if kind == "end":
                passed = self._thoughts_end(passed + before, mark.group())
            else:
                passed += self._pass(before)
                self._begin(kind, mark.group())
            if not self._spoke:
                passed = self._withheld = ""  # spaces before what was taken out
            self._gap = True
        return passed

    def _waits(self, *, ended: bool) -> bool:
        """Whether more must come: a block goes on, or it is not clear how the reply begins."""
        if self._block is None and not self._begun and not self._look_at_beginning(ended=ended):
            return True
        return self._block is not None and not self._leave_block(self._block, ended=ended)

    def _look_at_beginning(self, *, ended: bool) -> bool:
        """Whether it is clear how the reply begins; some have no mark there, but are none for the caller."""
        begun = self._text.lstrip()
        may_be_bare = any(word.startswith(begun) for word in ("analysis", "assistantfinal"))
        if not ended and (may_be_bare or _PART_WRITTEN.match(self._text)):
            return False
        self._begun = True
        if _WRITTEN.match(self._text):
            self._block = _Block("call", "")
        elif bare := _BARE.match(self._text):
            self._gap = True
            self._text = self._text[bare.end() :]
            if bare.group().strip() == "analysis":
                self._block = _Block("bare", bare.group())
        return True

    def _pass_rest(self, *, ended: bool) -> str:
        """The text as far as no mark can begin in it; a mark within which the reply was cut off is dropped."""
        cut = (_CUT_OFF if ended else _PARTIAL).search(self._text)
        at = len(self._text) if cut is None else cut.start()
        passed, self._text = self._text[:at], "" if ended else self._text[at:]
        return self._pass(passed)

    def _begin(self, kind: str, mark: str) -> None:
        if kind == "channel":
            if not mark.casefold().endswith("final"):
                self._block = _Block("channel", mark)
        elif kind == "header":
            if re.fullmatch(_OTHERS, mark.rpartition(">")[2].strip(), re.IGNORECASE):
                self._block = _Block("other", mark)
        elif kind in {"thought", "call", "other"}:
            self._block = _Block(kind, mark)  # type: ignore[arg-type]

    def _leave_block(self, block: _Block, *, ended: bool) -> bool:
        """Drops what is in a block, as far as it has come; whether it has ended."""
        kept = block.kind in {"call", "channel"}
        end = ENDS[block.kind].search(self._text)
        if end is None and not ended:
            self._text = self._text if kept else self._text[-MOST_MARK:]
            return False
        inside = self._text if end is None else self._text[: end.start()]
        is_call = block.kind == "call" and not _RESULT.search(block.mark)
        if is_call or (block.kind == "channel" and "to=" in inside):
            self.calls.append(block.mark + inside)
        self._text = "" if end is None else self._text[end.end() :]
        self._block = None
        self._gap = True
        return True

    def _thoughts_end(self, before: str, mark: str) -> str:
        """Thoughts end that had not begun: what was not passed on were some."""
        if mark == "<channel|>":
            return self._pass(before)
        self.thought_first = True
        self._stance, self._withheld, self._last, self._spoke = "speaking", "", "", False
        return ""

    def _pass(self, text: str) -> str:
        """Text for the caller, with a space where something was taken out between words."""
        if not text:
            return ""
        if self._gap and not self._spoke:
            text = text.lstrip()
        if not text:
            return ""
        if self._gap:
            glued = bool(self._last) and not self._last.isspace() and text[0].isalnum()
            text, self._gap = f" {text}" if glued else text, False
        self._last, self._spoke = text[-1], self._spoke or not text.isspace()
        return text

    def _release(self, text: str, *, ended: bool) -> str:
        """The text that is certainly no thought."""
        self._withheld += text
        if self._stance == "beginning":
            if not self._withheld.strip() and not ended:
                return ""
            thinks = begins_as_thought(self._withheld)
            if thinks is None and not ended:
                return ""
            self._stance = "thinking" if thinks else "speaking"
        if self._stance == "thinking" and not ended:
            return ""
        released, self._withheld = self._withheld, ""
        return released
