"""Instruments: an autoencoder whose decoder plays a synthesiser."""
