"""Snapshots: what a spec has of the catalog as Parquet with a manifest, published, pulled, verified and merged."""
