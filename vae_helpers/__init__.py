"""Helpers of the book on the variational autoencoder: one idea a file, imported by name.

Importing this package does nothing; open `objectives.py` first, it holds the mathematics.
"""
