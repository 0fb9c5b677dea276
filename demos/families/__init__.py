"""The families of generative models, each once."""
