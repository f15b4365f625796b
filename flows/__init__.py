"""The product as Prefect flows. Each reads like the journey it tells; all are named ``autopilot-…``."""
