"""Discriminators: small trained heads on frozen feature networks, and one on the pixels themselves."""
