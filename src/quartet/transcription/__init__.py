"""Speech to text: audio -> mel, voice -> windows -> segments, words -> transcribe -> subtitles."""
