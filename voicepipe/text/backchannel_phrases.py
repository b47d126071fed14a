"""The backchannels that are configured if nothing else is. Sans-IO; settings have it, so it loads nothing."""

from __future__ import annotations

BACKCHANNELS = (
    # English
    *("uh-huh", "uh huh", "mm-hmm", "mhm", "mm", "hmm", "hm", "right", "okay", "ok", "o.k.", "yeah", "yep", "yup"),
    *("i see", "sure", "got it", "gotcha", "alright", "all right", "yes yes", "oh yes", "ah yes", "ah", "aha"),
    # German
    *("genau", "ja ja", "jaja", "ach so", "achso", "ach ja", "ah ja", "aha", "alles klar", "klar", "verstehe", "okay"),
    *("ich verstehe", "stimmt", "richtig"),
    # Spanish
    *("ajá", "ya", "vale", "claro", "sí sí", "si si", "ya veo", "entiendo", "de acuerdo", "exacto", "eso es", "ah sí"),
    # French
    *("d'accord", "ouais", "oui oui", "je vois", "ah oui", "ah d'accord", "entendu", "exactement", "bien sûr", "okay"),
    # Italian
    *("certo", "sì sì", "capito", "ho capito", "va bene", "d'accordo", "esatto", "già", "ah sì", "okay"),
    # Portuguese
    *("sim sim", "pois", "pois é", "certo", "tá", "tá bom", "está bem", "entendi", "uhum", "aham", "isso", "ah sim"),
    # Dutch
    *("precies", "oké", "juist", "klopt", "inderdaad", "begrijp ik", "duidelijk", "oh ja", "ah zo"),
    # Hindi
    *("हाँ हाँ", "हां हां", "अच्छा", "ठीक है", "ठीक", "जी", "हम्म", "हूँ", "ओके", "समझ गया", "समझ गई", "हां जी", "हाँ जी"),
    *("haan haan", "accha", "achha", "theek hai", "thik hai"),
)
"""Each by itself, said again, or several of them in a row."""
