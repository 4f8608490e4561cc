"""Write the four graphs, node by node, from a `ModelSpec`: builder -> layers, attention -> files -> writer -> verify."""
