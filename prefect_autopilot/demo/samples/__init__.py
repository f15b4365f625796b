"""Flow files the demonstration deploys or rewrites."""
