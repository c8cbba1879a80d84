"""Mobility options: one module per RFC or family of RFCs."""
