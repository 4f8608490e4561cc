"""From a checkpoint to a quartet."""
