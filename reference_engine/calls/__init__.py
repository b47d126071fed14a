"""Answers calls: listeners, the limit of calls, versions that calls hold, and their records."""
