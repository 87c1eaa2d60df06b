"""Traces: a raw payload split into thinking and answer."""
