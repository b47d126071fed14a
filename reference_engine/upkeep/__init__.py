"""What keeps the engine going when one of its own tasks fails, or the system runs short."""
