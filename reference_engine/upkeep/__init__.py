"""Keeps the engine running when one of its own tasks fails, or the system is out of descriptors or memory."""
