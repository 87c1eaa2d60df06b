"""Snapshots on the Hugging Face Hub."""
