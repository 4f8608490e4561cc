"""Write the four graphs from a `ModelSpec`, node by node: builder, layers, attention, files, writer, verify."""
