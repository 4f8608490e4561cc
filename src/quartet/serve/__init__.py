"""Answering over the network: one queue of sentences for all who ask, and the interfaces that their tools speak."""
