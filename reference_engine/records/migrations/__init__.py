"""The versions of the schema of records, as Alembic keeps them."""
