"""Text: languages, scripts, sentences, tokenisers and their vocabularies."""
