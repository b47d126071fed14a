"""What answers calls: listeners, admission, records, and draining."""
