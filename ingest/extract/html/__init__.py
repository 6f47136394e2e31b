"""HTML: parse (:mod:`.page`), read the head, decide what is content (:mod:`.main_content`), write its blocks."""
