export { text } from "../src/torture/report/svg.ts";

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
