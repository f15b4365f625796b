"""The four journeys as plain async functions: what flows, watcher, REST API and command line share."""
