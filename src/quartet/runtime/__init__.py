"""Play a quartet: sessions -> decode (steps and cache) -> rules, search -> generate -> text -> pipeline."""
