const CLIENT = new URL("../nbd/client/client.ts", import.meta.url);

/** A check that looks at a state itself: whether an expression is true in which `at(n)` is the first byte of sector n. */
export function nbdCheck(expression: string): string {
  const script = [
    `import { NbdClient } from "${CLIENT}"`,
    "const client = await NbdClient.connect(process.argv[1])",
    "const bytes = await client.read(0, client.size)",
    "const at = (sector) => bytes[sector * 512] ?? 0",
    `process.exit(${expression} ? 0 : 1)`,
  ].join("; ");
  return `${process.execPath} --input-type=module -e '${script}' {uri}`;
}
