"""From fetched bytes to a page's text: a module for each format, a folder for HTML and PDF. It begins in :mod:`.document`."""
