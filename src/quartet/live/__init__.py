"""Speech while it is spoken: sound as it comes to text that grows, and what of that is sure."""
