"""Read a checkpoint: its config, and its tensors as slices, never as a whole.

Every weight format has one file here with one function, `index(folder) -> dict[name, TensorEntry]`: where each
tensor's bytes lie. Reading them (`TensorEntry.read`) is the same for all formats.
"""
