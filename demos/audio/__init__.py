"""Instruments, music and voice: sound shaped by sound and by drawing."""
