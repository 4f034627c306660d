import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { realClock } from "../../front/clock.ts";
import { NbdServer, type NbdServerOptions } from "./server.ts";
import { type FakeDevice, oneExport } from "./testing.ts";

/** A device as "disk" behind a real server at a unix socket, taken down after the test. */
export async function serve(
  context: TestContext,
  device: FakeDevice,
  options: Partial<NbdServerOptions> = {},
): Promise<{ readonly device: FakeDevice; readonly server: NbdServer; readonly path: string }> {
  const folder = mkdtempSync(join(tmpdir(), "skink-nbd-"));
  const path = join(folder, "nbd.sock");
  const server = new NbdServer({ exports: oneExport(device), clock: realClock, hungUp: () => false, ...options });
  await server.listen({ path });
  context.after(async () => {
    await server.close(0);
    rmSync(folder, { recursive: true });
  });
  return { device, server, path };
}
