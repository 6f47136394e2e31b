// The service counts Unicode code points, JavaScript UTF-16 units: they differ after every emoji.

/** A function that gives the UTF-16 offset of a code point's, bounded by the text. */
export function unitOffsets(text) {
  const length = text.length;
  if (!/[\ud800-\udbff]/.test(text)) return (point) => Math.min(Math.max(point, 0), length);
  const offsets = [];
  for (let unit = 0; unit < length; unit += text.codePointAt(unit) > 0xffff ? 2 : 1) offsets.push(unit);
  offsets.push(length);
  return (point) => offsets[Math.min(Math.max(point, 0), offsets.length - 1)];
}

/** `text[start:end]`, as the service means it. */
export function slice(text, start, end) {
  const at = unitOffsets(text);
  return text.slice(at(start), at(end));
}
