"""The product's own deployments and automations as code, and their installation on a Prefect server."""
