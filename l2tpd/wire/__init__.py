"""Bytes and their meaning: headers, AVPs, messages, hiding, digests; pure, and total on whatever the network sends."""
