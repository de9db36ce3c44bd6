"""What every folder may use: errors, files, progress, interruption and provenance."""
