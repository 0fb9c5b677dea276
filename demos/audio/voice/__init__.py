"""Voice: spoken digits, drawn as log-mel frames and made audible by a vocoder."""
