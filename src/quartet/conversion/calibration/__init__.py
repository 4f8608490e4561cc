"""What a quantised model does to real sentences: measured (`report`), and used to quantise better (`requantize`)."""
