"""Labels the geometries of an edition at another level of theory."""
