"""What users subclass or receive, and what models, guides and the engine share."""
