"""Archives, read as bounded streams: nothing is extracted, nothing inside names a path outside."""
