"""Markdown in its dialects: CommonMark and GitHub's, and what documentation generators add (MDX, containers, tabs, tags)."""
