"""PDF: pdfium gives characters with places (:mod:`.reader`), the layout makes lines, headings and paragraphs of them."""
