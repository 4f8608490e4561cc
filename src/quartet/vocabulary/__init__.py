"""Which rows of the vocabulary some languages need: chosen by script and by text, kept at conversion or at run time."""
