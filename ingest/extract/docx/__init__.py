"""Word: parts are checked and cleaned, numbers and formulas become text, and mammoth makes HTML of it (:mod:`.reader`)."""
