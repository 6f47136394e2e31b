"""``python -m bench.extraction DIR…``: how much of a page's text is kept, and how much that isn't content slips in.

Each folder is of one of three kinds, told apart by what lies in it: articles with the text that people marked as their body
(:mod:`.articles`, twice: scrapinghub/article-extraction-benchmark and the tests of mozilla/readability), and manuals as a
documentation generator wrote them (:mod:`.manuals`), whose content element is known by its class.
"""
