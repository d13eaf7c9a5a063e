"""Plugins for simplugins."""
