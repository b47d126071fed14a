"""The supervisor of an engine of several workers: it accepts connections and hands them over, and answers no call.

It imports nothing of voicepipe, whose parts and libraries it does not need: it stays small, and there is little in it
that could end it.
"""
