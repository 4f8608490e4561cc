"""What is packed and rewritten for the CPU at hand, and where its bytes lie in memory."""
