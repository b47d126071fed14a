"""The supervisor's HTTP: asks the workers, and makes one answer of theirs, so that several processes look like one."""
