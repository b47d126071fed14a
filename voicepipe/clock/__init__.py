"""Time in a process: the frame clock, its ticker, and timers."""
