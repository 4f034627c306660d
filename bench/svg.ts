/** A line of text in an SVG; `x` and `y` in pixels, at its start on its baseline. `attributes`: further ones, as they stand. */
export function text(x: number, y: number, content: string, attributes = ""): string {
  const escaped = content.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" ${attributes}>${escaped}</text>`;
}

/** A whole picture of those marks on white ground; sizes in pixels. */
export function picture(title: string, width: number, height: number, marks: readonly string[]): string {
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" font-family="Helvetica, Arial, sans-serif" font-size="12" fill="#222">`,
    `<title>${title}</title>`,
    `<rect width="${width}" height="${height}" fill="#fff"/>`,
    ...marks,
    "</svg>",
    "",
  ].join("\n");
}
