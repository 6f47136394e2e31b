"""From fetched bytes to a page's text: a module for each format, a folder for HTML and PDF. It begins in :mod:`.document`."""

EXTRACTION_VERSION = 1
"""Counts the changes of the rules by which a page's text is made. Add one with every change that can alter the text of a page: it
is stored with each page, and one that was made by another version is fetched and read anew at its next visit, even if the site
says that it hasn't changed. (0: before they were counted.)"""
