"""Which tensor is stored in how many bits."""
