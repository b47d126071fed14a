"""One worker of an engine of several: an engine whose supervisor accepts connections and counts calls for it."""
