"""Base classes for users to subclass, and code that models, guides and the engine share."""
