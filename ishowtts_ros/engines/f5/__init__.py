"""F5-TTS (arXiv:2410.06885) without the f5-tts package: the fast engine."""
