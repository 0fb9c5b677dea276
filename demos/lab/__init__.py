"""Six families of generative models side by side: a playground in the plane."""
