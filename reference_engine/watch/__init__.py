"""Watches files, and reloads when they change."""
