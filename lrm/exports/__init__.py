"""Writing what the catalog holds of a spec as other tools read it: one module a format. Nothing is asked of a model."""
