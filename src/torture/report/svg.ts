/** Text as it stands, in an element or in an attribute between double quotes. */
export function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
}

/** A line of text in an SVG; `x` and `y` in pixels, at its start on its baseline. `attributes`: further ones, as they stand. */
export function text(x: number, y: number, content: string, attributes = ""): string {
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" ${attributes}>${escaped(content)}</text>`;
}

/** A picture inside a page, whose style sheet has the colours: as wide as there is room, in units of its own. */
export function inlinePicture(title: string, width: number, height: number, marks: readonly string[]): string {
  return [
    `<svg viewBox="0 0 ${width} ${height.toFixed(0)}" role="img" aria-label="${escaped(title)}">`,
    ...marks,
    "</svg>",
  ].join("\n");
}
