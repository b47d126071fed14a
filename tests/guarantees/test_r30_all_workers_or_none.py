"""R30: with several workers a reload is all or nothing for each set: every worker prepares, then all commit, or none.

One engine of three workers is started for all of it. Its components are those of an adapter that the engine's modules
have besides (`limited_stt.py`): a file per component says in how many processes it may be open, or what it does there.
"""
