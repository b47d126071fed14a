"""Descriptions of settings: fields, JSON schema, effective values and where they come from."""
