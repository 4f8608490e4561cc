"""Sound: any source as a stream of 16 kHz, log-mel frames, and where somebody speaks."""
