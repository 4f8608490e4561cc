"""Run a quartet, ids in and ids out: requests -> batches -> decode (steps and cache) -> rules, search -> results."""
