"""Recognises encoded audio and text by the first bytes, where raw samples were asked for: pure functions.

Played as samples, an MP3 or a page of HTML is noise at full level in the caller's ear. Files with a header name their
format in a few bytes. MPEG's frames do not: a frame begins with some twelve set bits, which samples may hold too, so a
stream counts as MPEG only when one such header leads to the next, and that to the next, all of one kind. Text counts
only when it is marked up as JSON, XML or server-sent events, or is words with spaces between them.

Linear audio and G.711 hold any bytes, so nothing here can be certain; what it takes is chosen so that real audio is
never refused. `tests/test_encoded_audio.py` tries it on speech, tones, hum, silence and noise in every format.

Sources: ISO/IEC 11172-3 and 13818-3 (frame headers), 14496-3 (ADTS, LOAS), RFC 3533 (Ogg), RFC 8794 (EBML), RFC 9639
(FLAC), ISO/IEC 14496-12 (`ftyp`), RFC 1952 (gzip).
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_BYTES = 8192
"""The most bytes of a stream that are examined, and only if it begins as an encoded one does."""

FRAMES = 4
"""The number of MPEG frames that have to follow one another."""

_MAGIC: tuple[tuple[bytes, str], ...] = (
    (rb"OggS\x00", "Ogg"),
    (rb"fLaC", "FLAC"),
    (rb"\x1a\x45\xdf\xa3", "WebM or Matroska"),
    (rb"\x00\x00.{2}(?:ftyp|styp)", "MP4"),
    (rb"ID3[\x02-\x04]", "MP3"),
    (rb"RIFF|RIFX|RF64|BW64|riff\x2e\x91\xcf\x11", "WAV"),
    (rb"FORM.{4}AIF[FC]", "AIFF"),
    (rb"\.snd\x00\x00", "AU"),
    (rb"caff\x00", "CAF"),
    (rb"#!AMR", "AMR"),
    (rb"\x02?#!SILK", "SILK"),
    (rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "WMA"),
    (rb"FLV\x01", "FLV"),
    (rb"ADIF", "AAC"),
    (rb"wvpk", "WavPack"),
    (rb"TTA1", "TTA"),
    (rb"MAC \x96", "Monkey's Audio"),
    (rb"MThd\x00\x00\x00\x06", "MIDI"),
    (rb"\x1f\x8b\x08[\x00-\x1f].{4}[\x00\x02\x04]", "gzip"),
    (rb"PK\x03\x04", "ZIP"),
    (rb"\x28\xb5\x2f\xfd", "Zstandard"),
)
_MAGICS = tuple((re.compile(pattern, re.DOTALL), name) for pattern, name in _MAGIC)
_MAGIC_BYTES = 12
"""The length of the longest of these patterns, in bytes."""
_STARTS = frozenset(b"OfI\x1aRrF.c#\x02\x30Aw TM\x1fP\x28\0") | {0xFF, 0x56, 0x47}
"""The first bytes of all these patterns, and of MPEG frames."""

_WAV_CODECS = {1: "PCM", 3: "floating point", 6: "A-law", 7: "mu-law", 17: "ADPCM", 85: "MP3", 0xFFFE: "PCM"}

_READABLE = re.compile(
    rb"(?:[\t\r\n\x20-\x7e]|[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3})*"
)
_SPACE = re.compile(rb"(?:\xef\xbb\xbf)?[\t\r\n ]*")
_MARKED_UP = (
    (re.compile(rb"[{\[]\s*(?:[{\[]\s*)*\"[^\"\\]{1,80}\"\s*[:,\]]"), "JSON"),
    (re.compile(rb"<!doctype html|<(?:html|head|body|title|h1|p|div|center)[\s>]", re.IGNORECASE), "HTML"),
    (re.compile(rb"<(?:\?xml|error|response|fault|soap[\w-]*:envelope)[\s>]", re.IGNORECASE), "XML"),
    (re.compile(rb"(?:data|event|id|retry):[^\n]{2,}|: ?[\w -]{2,}\n"), "server-sent events"),
)
_WORDS = re.compile(
    rb"[(\[\"']?[A-Za-z][a-z\x80-\xff'/_-]+[.,:;!?)\]\"']*"
    rb"(?:[ \n]+[(\[\"']?(?:[A-Za-z\x80-\xff][A-Za-z\x80-\xff'/_-]*|[0-9]+)[.,:;!?)\]\"']*){3}"
)
_WORD = rb"(?:[A-Z]?[a-z]{2,}|[A-Z]{2,}|[0-9]+|'[^']+')"
_ANSWER = re.compile(rb"\"?" + _WORD + rb"(?:[.,:;!?]?[ \n/-]" + _WORD + rb")*[.,:;!?\"]*\s*\Z")
_BASE64 = re.compile(rb"[A-Za-z0-9+/]*")
_READABLE_BYTES = 16
"""The readable bytes that marked-up text needs at least."""
_WORDS_BYTES = 96
"""The bytes within which plain text must show words."""
_ANSWER_BYTES = 256
"""The longest audio that is taken for a short answer, `Forbidden`, if it is readable to its end."""
_ANSWER_LEAST = 9
"""The shortest one, `Not Found`: less of a stream can't be told from a moment of audio, nor heard."""
_BASE64_BYTES = 128


def encoding_of(head: bytes, *, ended: bool, declared: str = "") -> str | None:
    """Returns the format of a stream by its first bytes, such as `MP3`; empty if they are samples.

    Args:
        head: the first bytes of the stream.
        ended: whether `head` is the whole stream.
        declared: the media type that the service declared, if any; with `audio/mpeg` one MPEG frame is enough.

    Returns:
        None if more bytes are needed to decide; never for `MOST_BYTES` or more.

    """
    if not head:
        return "" if ended else None
    ended = ended or len(head) >= MOST_BYTES
    undecided = False
    if head[0] in _STARTS:
        for look in (_file, _mpeg if not _says_mpeg(declared) else _mpeg_as_declared):
            encoding = look(head, ended)
            if encoding:
                return encoding
            undecided = undecided or encoding is None
    if head[0] in b"\t\r\n \xef" or 0x21 <= head[0] <= 0x7E:
        encoding = _text(head, ended)
        if encoding:
            return encoding
        undecided = undecided or encoding is None
    return None if undecided and not ended else ""


def _file(head: bytes, ended: bool) -> str | None:
    for pattern, name in _MAGICS:
        if pattern.match(head):
            if name == "WAV":
                return _wav(head, ended)
            if name == "Ogg":
                return _ogg(head, ended)
            return name
    return None if len(head) < _MAGIC_BYTES and not ended else ""


def _wav(head: bytes, ended: bool) -> str | None:
    if len(head) < 80 and not ended:
        return None
    at = head.find(b"fmt ", 0, 256)
    if head.startswith(b"riff") or at < 0 or len(head) < at + 16:
        return "WAV"
    codec, channels = (int.from_bytes(head[at + 8 + 2 * n : at + 10 + 2 * n], "little") for n in (0, 1))
    rate = int.from_bytes(head[at + 12 : at + 16], "little")
    sound = "mono" if channels == 1 else "stereo" if channels == 2 else f"{channels} channels"
    return f"WAV ({_WAV_CODECS.get(codec, f'codec {codec}')}, {sound}, {rate} Hz)"


def _ogg(head: bytes, ended: bool) -> str | None:
    if len(head) < 40 and not ended:
        return None
    for mark, codec in ((b"OpusHead", "Opus"), (b"\1vorbis", "Vorbis"), (b"\x7fFLAC", "FLAC"), (b"Speex ", "Speex")):
        if head.startswith(mark, 28):
            return f"Ogg ({codec})"
    return "Ogg"


# --- MPEG's frames -------------------------------------------------------------------------------------------------

_Frame = tuple[int, tuple[int, ...]]
"""The size of a frame in bytes, and the header fields that all frames of a stream share."""

_KBPS = {
    (3, 1): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (3, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (2, 1): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_KBPS[2, 2] = _KBPS[0, 1] = _KBPS[0, 2] = _KBPS[2, 1]
"""By version (3: MPEG-1, 2: MPEG-2, 0: MPEG-2.5) and layer (1: III, 2: II)."""
_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}


def _mp3_frame(header: bytes) -> _Frame | None:
    """Parses a frame of layer III or II. Layer I is left out: silence in mu-law begins as its frames do."""
    if len(header) < 3 or header[0] != 0xFF or header[1] & 0xE0 != 0xE0:
        return None
    version, layer, number, rate = header[1] >> 3 & 3, header[1] >> 1 & 3, header[2] >> 4, header[2] >> 2 & 3
    if version == 1 or layer not in {1, 2} or not 0 < number < 15 or rate == 3:
        return None
    samples = 144 if version == 3 or layer == 2 else 72
    size = samples * _KBPS[version, layer][number - 1] * 1000 // _RATES[version][rate] + (header[2] >> 1 & 1)
    return size, (header[1], rate)


def _aac_frame(header: bytes) -> _Frame | None:
    """Parses an ADTS frame."""
    if len(header) < 6 or header[0] != 0xFF or header[1] & 0xF6 != 0xF0 or header[2] >> 2 & 15 > 12:
        return None
    size = (header[3] & 3) << 11 | header[4] << 3 | header[5] >> 5
    return (size, (header[1], header[2], header[3] & 0xFC)) if 7 < size <= 2048 else None


def _loas_frame(header: bytes) -> _Frame | None:
    if len(header) < 3 or header[0] != 0x56 or header[1] & 0xE0 != 0xE0:
        return None
    size = ((header[1] & 0x1F) << 8 | header[2]) + 3
    return (size, ()) if 7 < size <= 2048 else None


_FIRST_PACKET = re.compile(rb"\x47(?:\x40(?:[\x00\x11](?:[\x10-\x1f]|\Z)|\Z)|\Z)")
"""A transport stream begins with its table of programmes or with its description; one byte alone is any tone's."""


def _transport_packet(header: bytes) -> _Frame | None:
    return (188, ()) if header and header[0] == 0x47 else None


_FRAMED: tuple[tuple[Callable[[bytes], _Frame | None], str, int], ...] = (
    (_mp3_frame, "MP3", 3),
    (_aac_frame, "AAC", 6),
    (_loas_frame, "AAC", 3),
    (_transport_packet, "MPEG transport stream", 1),
)


def _mpeg(head: bytes, ended: bool, frames: int = FRAMES) -> str | None:
    undecided = False
    for parse, name, needed in _FRAMED:
        if parse is _transport_packet and not _FIRST_PACKET.match(head):
            continue
        at, starts, common = 0, list[int](), None
        while len(starts) < frames and at + needed <= len(head):
            frame = parse(head[at : at + needed])
            if frame is None or common not in {None, frame[1]}:
                break
            common = frame[1]
            starts.append(at)
            at += frame[0]
        else:
            # Frames all the way, until there were enough of them or the bytes ended.
            least = frames if not ended else min(frames, 2 if at == len(head) else 3)
            if len(starts) < least:
                undecided = True
            elif parse not in {_mp3_frame, _loas_frame} or not _repeats(head, starts):
                return "MP2" if parse is _mp3_frame and common is not None and common[0] >> 1 & 3 == 2 else name
    return None if undecided and not ended else ""


def _repeats(head: bytes, starts: list[int]) -> bool:
    """Returns True if each frame repeats the one before, as in a tone whose period is a frame.

    Frames of silence repeat too, but most of each is one byte.
    """
    bodies = [head[start + 4 : end] for start, end in pairwise([*starts, len(head)])]
    return len(bodies) > 1 and all(_is_alike(body, after) for body, after in pairwise(bodies[:FRAMES]))


def _is_alike(body: bytes, other: bytes) -> bool:
    both = min(len(body), len(other))
    if not both or max(map(body.count, set(body))) >= 0.6 * len(body):
        return False
    return 2 * sum(abs(a - b) > 4 for a, b in zip(body, other, strict=False)) < both


def _mpeg_as_declared(head: bytes, ended: bool) -> str | None:
    return _mpeg(head, ended, frames=1)


def _says_mpeg(declared: str) -> bool:
    return any(kind in declared for kind in ("mpeg", "mp3", "aac", "mp4"))


# --- Text ----------------------------------------------------------------------------------------------------------


def _text(head: bytes, ended: bool) -> str | None:
    start = _SPACE.match(head)
    body = head[start.end() :] if start else head
    readable = _READABLE.match(body)
    length = readable.end() if readable else 0
    is_all = length >= len(body) - 3  # a character may be cut
    if _is_base64(body):
        return "base64"
    if (length >= _READABLE_BYTES or (ended and is_all and length >= _ANSWER_LEAST)) and _leaps(body[:length]):
        for pattern, name in _MARKED_UP:
            if pattern.match(body):
                return name
        if _WORDS.match(body, 0, length) or (ended and is_all and len(body) <= _ANSWER_BYTES and _ANSWER.match(body)):
            return "text"
    if not is_all or ended:
        return ""
    letters = _BASE64.match(body)
    goes_on = letters is not None and letters.end() == len(body) and len(head) < _BASE64_BYTES
    most = _ANSWER_BYTES if body[:1].isalpha() and len(body) < _ANSWER_BYTES and _leaps(body) else _WORDS_BYTES
    return None if goes_on or len(head) < most else ""


def _leaps(text: bytes) -> bool:
    """Returns True if neighbouring bytes differ as letters of a text do; those of quiet audio change in small steps.

    In loud linear audio every other byte, the high one, hardly changes.
    """
    text = text[:64]
    steps = sum(abs(byte - after) > 4 for byte, after in pairwise(text))
    return 2 * steps >= len(text) - 1 and min(len(set(text[::2])), len(set(text[1::2]))) > 2


def _is_base64(body: bytes) -> bool:
    letters = _BASE64.match(body)
    if letters is None or letters.end() < _BASE64_BYTES:
        return False
    used = set(body[:_BASE64_BYTES])
    kinds = (range(0x30, 0x3A), range(0x41, 0x5B), range(0x61, 0x7B))
    return len(used) > 16 and all(used & set(kind) for kind in kinds)
