"""Asterisk's AudioSocket."""
