"""What differs between two snapshots, or a snapshot and the catalog."""
