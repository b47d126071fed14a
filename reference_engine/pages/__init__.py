"""The operator's page: templates, static files, who may see and change what, and live updates."""
